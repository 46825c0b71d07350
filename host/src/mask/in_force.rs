//! The rules of a project in force: what users add to those built in, shared by all who mask, and replaced at once.
//!
//! Owns which rules there are just now. Who masks many lines keeps a masker, and asks by [`RulesInForce::number`] whether
//! it is still the right one; everybody else uses the one here.

use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::{Masker, Rules, Secret, is_secret_name};

/// What a project adds to the rules built in.
#[derive(Debug, Clone, Default)]
pub struct ProjectRules {
    pub rules: Rules,
    /// Variables that hold secrets, whatever their names say.
    pub env: Vec<String>,
    /// Variables that hold none.
    pub not_env: Vec<String>,
    /// Values of secret variables that the configuration itself has, for what is not of one run.
    pub known: Vec<Secret>,
}

impl ProjectRules {
    /// Returns whether a variable of this name holds a secret.
    pub fn is_secret(&self, name: &str) -> bool {
        let is_named = |names: &[String]| names.iter().any(|known| known == name);
        is_named(&self.env) || (is_secret_name(name) && !is_named(&self.not_env))
    }
}

/// Rules in force, and the masker made of them.
#[derive(Debug)]
pub struct InForce {
    number: u64,
    rules: ProjectRules,
    masker: Masker,
}

impl InForce {
    fn new(number: u64, rules: ProjectRules) -> Self {
        let masker = Masker::new(&rules.rules, &rules.known);
        Self { number, rules, masker }
    }

    /// Returns which rules these are: later ones have a higher number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns whether a variable of this name holds a secret.
    pub fn is_secret(&self, name: &str) -> bool {
        self.rules.is_secret(name)
    }

    /// Returns whether the user says of a variable that it holds none.
    pub fn is_harmless(&self, name: &str) -> bool {
        self.rules.not_env.iter().any(|known| known == name)
    }

    /// Returns the secrets among variables.
    pub fn secrets_of(&self, env: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<Secret> {
        env.into_iter()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok().filter(|name| self.is_secret(name))?;
                Some(Secret::new(name, value.into_encoded_bytes()))
            })
            .collect()
    }

    /// Makes a masker of these rules that knows the secrets of one run.
    pub fn masker_with(&self, secrets: &[Secret]) -> Masker {
        Masker::new(&self.rules.rules, secrets)
    }

    /// Returns a text of any number of lines with its secrets masked.
    pub fn mask(&self, text: &str) -> String {
        self.masker.mask_text(text).into_owned()
    }
}

/// The rules in force. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct RulesInForce {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// That of `current`, to be looked at without a lock.
    number: AtomicU64,
    current: RwLock<Arc<InForce>>,
}

impl Default for RulesInForce {
    fn default() -> Self {
        Self::new(ProjectRules::default())
    }
}

impl RulesInForce {
    /// Begins with `rules`.
    pub fn new(rules: ProjectRules) -> Self {
        let current = RwLock::new(Arc::new(InForce::new(1, rules)));
        Self { shared: Arc::new(Shared { number: AtomicU64::new(1), current }) }
    }

    /// Puts other rules in force.
    pub fn replace(&self, rules: ProjectRules) {
        let mut current = self.shared.current.write().unwrap_or_else(PoisonError::into_inner);
        let number = current.number + 1;
        *current = Arc::new(InForce::new(number, rules));
        self.shared.number.store(number, Ordering::Release);
    }

    /// Returns which rules are in force, from one on.
    pub fn number(&self) -> u64 {
        self.shared.number.load(Ordering::Acquire)
    }

    /// Returns the rules in force.
    pub fn current(&self) -> Arc<InForce> {
        Arc::clone(&self.shared.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns a text of any number of lines with its secrets masked.
    pub fn mask(&self, text: &str) -> String {
        self.current().mask(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::UserRule;

    #[test]
    fn names_are_secret_as_the_user_says() {
        let rules = ProjectRules {
            env: vec!["CUSTOMER".into()],
            not_env: vec!["DEMO_TOKEN".into()],
            ..ProjectRules::default()
        };
        let secret = ["CUSTOMER", "API_KEY", "DEMO_TOKEN", "HOME"].map(|name| rules.is_secret(name));
        assert_eq!(secret, [true, true, false, false]);
    }

    #[test]
    fn all_clones_mask_by_what_was_put_in_force_last() {
        let rules = RulesInForce::default();
        let (clone, number) = (rules.clone(), rules.number());
        assert_eq!(clone.mask("acme_01\nok"), "acme_01\nok");
        let acme = UserRule::new("acme", "acme_[0-9]+", None).unwrap();
        let known = vec![Secret::new("CUSTOMER", "tr0ub4dor-and-3")];
        rules.replace(ProjectRules {
            rules: Rules::new(vec![acme]).unwrap(),
            known,
            ..ProjectRules::default()
        });
        assert!(clone.number() > number);
        assert_eq!(clone.mask("acme_01\nof tr0ub4dor-and-3"), "[masked:acme]\nof [masked:CUSTOMER]");
    }
}
