//! Package + git facts → hash → tag.
