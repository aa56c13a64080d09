//! What the scenarios here share.
