"""The contracts for programs and the pages for people, generated from the models."""
