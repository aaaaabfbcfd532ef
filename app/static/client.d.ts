export function addTo(text: string, frame: {
    content: string;
    replace?: boolean;
}): string;
/**
 * Events, each a `CustomEvent`: `ack`, `status`, `answer` and `error` carry the frame, `frame` carries
 * `{direction: "in" | "out", frame, size}` for every frame either way, `state` carries a `State`, `held` carries `{message}`: one that is kept until there is a
 * connection, `given_up` a `GivenUp`: messages that no reply has come for and that are not sent again. After a reload of the page, `status` and `answer` come
 * once more for what was shown of the running answer, with `kept: true`.
 */
export class RealtimeRag extends EventTarget {
    /**
     * @param {string | URL} url `ws://` or `wss://`
     * @param {{token?: string, keepalive_ms?: number, greeting_ms?: number, name?: string}} [options] `token` travels as a
     *   subprotocol, never in the address. A connection is given up that is not greeted within `greeting_ms`, or that answers
     *   no keepalive within half of `keepalive_ms`, which is how often one is sent. `name` tells clients of one page apart.
     */
    constructor(url: string | URL, { token, keepalive_ms, greeting_ms, name }?: {
        token?: string;
        keepalive_ms?: number;
        greeting_ms?: number;
        name?: string;
    });
    /** @returns {SessionSettings} what `configure` has set, also on the page before a reload */
    get settings(): SessionSettings;
    /** Connect, or try again now instead of later. Throws a `SyntaxError` on a token that no header can carry. */
    connect(): void;
    /** Leave for good; the session ends. */
    close(): void;
    /** Send a piece of transcript. @param {Chunk} chunk */
    chunk(chunk: Chunk): void;
    /** Act on the session. @param {Action} action @param {{text?: string, id?: string, query_id?: string,
     *   rating?: "like" | "dislike"}} [fields] */
    control(action: Action, fields?: {
        text?: string;
        id?: string;
        query_id?: string;
        rating?: "like" | "dislike";
    }): void;
    /** Set what is given; it is set again in every new session of this client. @param {SessionSettings} settings */
    configure(settings: SessionSettings): void;
    #private;
}
/**
 * The reference client: one WebSocket that comes back by itself. It needs nothing but a browser.
 */
export type Chunk = {
    text: string;
    is_final?: boolean;
    segment_id?: string | number;
    end_of_turn?: boolean;
    speaker?: string;
    language?: string;
    confidence?: number;
    end_ms?: number;
    id?: string;
};
/**
 * The reference client: one WebSocket that comes back by itself. It needs nothing but a browser.
 */
export type SessionSettings = {
    on_new_question?: "queue" | "interrupt" | "ignore";
    auto_detect?: boolean | "suggest";
    speakers?: string[];
    ask_above?: number;
    names?: string[];
    address?: "anyone" | "named";
    inputs?: object;
    answer_language?: string;
    answer_style?: "short" | "full";
    tuning?: {
        wait_min_ms?: number;
        wait_max_ms?: number;
        merge_seconds?: number;
        min_confidence?: number;
        query_scope?: "question" | "aggregated";
    };
};
/**
 * The reference client: one WebSocket that comes back by itself. It needs nothing but a browser.
 */
export type Action = "pause" | "resume" | "cancel" | "instant_query" | "reset" | "stop" | "feedback";
/**
 * The reference client: one WebSocket that comes back by itself. It needs nothing but a browser.
 */
export type State = {
    state: "connecting" | "open" | "waiting" | "closed";
    code?: number;
    retry_ms?: number;
    resumed?: boolean;
    reason?: string;
};
/**
 * as it goes over the wire
 */
export type Message = {
    type: string;
    id: string;
    [field: string]: any;
};
/**
 * The reference client: one WebSocket that comes back by itself. It needs nothing but a browser.
 */
export type GivenUp = {
    messages: Message[];
    reason: "limit" | "new_session" | "too_large" | "closed";
};
