"""Unit tests of the comment on previews."""
