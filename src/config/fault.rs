//! What is wrong with a configuration.

use std::fmt;

/// One wrong key or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// TOML path, e.g. `failover.delay` or `quality_sets[1].qualities[0].width`; empty when the file as a whole is wrong.
    pub path: String,
    /// What is wrong, lower case, without the value of a secret.
    pub problem: String,
}

impl Fault {
    /// A fault at a path.
    pub fn new(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.problem) } else { write!(f, "{}: {}", self.path, self.problem) }
    }
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}
