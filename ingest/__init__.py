"""Ingestion: from images and a model to tables in a spool. Everything that needs torch lives here."""
