"""Experiments whose answer is known: what a method's claims are judged by."""
