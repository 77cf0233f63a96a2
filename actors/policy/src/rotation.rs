//! TODO(pull)
