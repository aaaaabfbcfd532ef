"""Who answers, and what a question is."""
