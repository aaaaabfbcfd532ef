"""Realtime RAG: hears questions in live transcripts and streams the answers back."""

__version__ = "0.2.0"
