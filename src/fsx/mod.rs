//! Files as the rest of the house wants them: atomic replace, verified ingest, lock guards, sorted walk.
