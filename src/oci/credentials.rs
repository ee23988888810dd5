//! What a registry wants to see before it answers, and where it is found.
