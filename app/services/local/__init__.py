"""What the embedded provider stands on: files, passages, terms, the index, and which sentences to quote."""
