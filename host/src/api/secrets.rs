//! What a project's configuration says of secrets, as the rules by which all is masked.

use tracing::error;

use crate::config::Project;
use crate::mask::{ProjectRules, Rules, Secret, UserRule};

/// Returns the rules of a project. One that cannot be used is left out, which the check of the configuration prevents.
pub fn secret_rules(project: &Project) -> ProjectRules {
    let secrets = &project.secrets;
    let rule = |pattern: &crate::config::SecretPattern| {
        UserRule::new(&pattern.name, &pattern.regex, pattern.group.as_deref())
            .inspect_err(|error| error!(%error, "a pattern of secrets cannot be used"))
            .ok()
    };
    let rules = Rules::new(secrets.patterns.iter().filter_map(rule).collect());
    let rules = rules.inspect_err(|error| error!(%error, "the patterns of secrets cannot be used"));
    let mut rules = ProjectRules {
        rules: rules.unwrap_or_default(),
        env: secrets.env.clone(),
        not_env: secrets.not_env.clone(),
        known: Vec::new(),
    };
    let variables = project.processes.values().flat_map(|process| &process.env.0);
    // What is put together from other variables has a value at the start of a run only.
    let known = variables.filter(|(name, value)| rules.is_secret(name) && !value.contains("${"));
    rules.known = known.map(|(name, value)| Secret::new(name.clone(), value.clone())).collect();
    rules
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::load_text;
    use crate::mask::RulesInForce;

    #[test]
    fn what_the_configuration_says_is_what_is_masked() {
        let text = "[process.a]\ncommand = \"a\"\nenv = { DB_PASSWORD = \"hunter2hunter2\", CUSTOMER = \"mueller-and-co\", DEMO_TOKEN = \"not-a-secret-at-all\" }\n\
            [secrets]\nenv = [\"CUSTOMER\"]\nnot_env = [\"DEMO_TOKEN\"]\n\
            patterns = [{ name = \"acme\", regex = 'acme_[0-9]{4}' }, { name = \"pin\", regex = 'pin (?P<pin>\\d+)', group = \"pin\" }]\n";
        let project = load_text(Path::new("/p/ostler.toml"), text).unwrap();
        let rules = RulesInForce::new(secret_rules(&project));
        assert_eq!(
            rules.mask("hunter2hunter2 mueller-and-co not-a-secret-at-all acme_0123 pin 55"),
            "[masked:DB_PASSWORD] [masked:CUSTOMER] not-a-secret-at-all [masked:acme] pin [masked:pin]"
        );
    }
}
