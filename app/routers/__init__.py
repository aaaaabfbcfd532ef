"""What a URL answers."""
