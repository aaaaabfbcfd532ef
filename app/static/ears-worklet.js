/** Runs beside the page, where the sound is: pieces of 100 ms, 16-bit samples of one channel at 16 kHz. */

/** So many samples of the sound are one of a piece: their mean. */
const STEP = sampleRate / 16_000;
const LENGTH = 1_600;

class Pieces extends AudioWorkletProcessor {
  #piece = new Int16Array(LENGTH);
  #filled = 0;
  #sum = 0;
  #taken = 0;

  process([[samples = []]]) {
    for (const sample of samples) {
      let rest = 1;
      while (rest > 1e-9) {
        const part = Math.min(rest, STEP - this.#taken);
        this.#sum += part * sample;
        this.#taken += part;
        rest -= part;
        if (this.#taken > STEP - 1e-9) this.#add(this.#sum / STEP);
      }
    }
    return true;
  }

  #add(sample) {
    this.#sum = this.#taken = 0;
    this.#piece[this.#filled++] = Math.max(-1, Math.min(1, sample)) * 32_767;
    if (this.#filled < LENGTH) return;
    this.port.postMessage(this.#piece.buffer, [this.#piece.buffer]);
    this.#piece = new Int16Array(LENGTH);
    this.#filled = 0;
  }
}

registerProcessor("pieces", Pieces);
