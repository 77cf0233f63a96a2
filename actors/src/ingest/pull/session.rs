//! A pull session.
