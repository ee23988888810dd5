//! Packages × platforms + facts → what is built, found or skipped, and why. Pure.
