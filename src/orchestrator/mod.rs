//! The hallway: drives a plan over the hands.
