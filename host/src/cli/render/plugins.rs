//! Owns how plugins look in `ostler plugin list`.

use std::fmt::Write;

use super::style::{BAD, FAINT, GOOD, Palette, WARNING};
use super::table::{Cell, table};
use super::text::visible;
use crate::plugins::{Origin, PluginStatus};

/// Returns a table of the plugins, and below it the reasons of those that are not in use.
pub fn plugins(palette: Palette, plugins: &[PluginStatus]) -> String {
    let rows: Vec<_> = plugins.iter().map(row).collect();
    let mut shown = table(palette, ["NAME", "STATE", "VERSION", "KINDS", "FROM"], &rows);
    for plugin in plugins {
        if let Some(reason) = &plugin.reason {
            let name = palette.paint(WARNING, visible(&plugin.name));
            let _ = write!(shown, "\n{name}: {}\n", visible(reason));
            if let Some(path) = &plugin.path {
                let _ = writeln!(shown, "  {}", visible(&path.display().to_string()));
            }
        }
    }
    shown
}

fn row(plugin: &PluginStatus) -> [Cell; 5] {
    let style = match plugin.state.as_str() {
        "loaded" => GOOD,
        "disabled" => FAINT,
        _ => BAD,
    };
    let origin = match plugin.origin {
        Origin::Project => ".ostler/plugins",
        Origin::User => "user's folder",
        Origin::BuiltIn => "built in",
    };
    [
        visible(&plugin.name).into_owned().into(),
        Cell::styled(visible(&plugin.state), style),
        visible(plugin.version.as_deref().unwrap_or("-")).into_owned().into(),
        visible(&kinds(plugin)).into_owned().into(),
        origin.into(),
    ]
}

/// Returns the kinds, those marked that nothing is asked of yet.
fn kinds(plugin: &PluginStatus) -> String {
    let used = plugin.kinds.iter().filter(|kind| !plugin.unused_kinds.contains(kind)).cloned();
    let unused = plugin.unused_kinds.iter().map(|kind| format!("{kind} (not used yet)"));
    used.chain(unused).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_plugins_tell_their_reason_below_the_table() {
        let built_in = PluginStatus {
            name: "regex-classifier".into(),
            origin: Origin::BuiltIn,
            state: "loaded".into(),
            reason: None,
            version: Some("0.1.0".into()),
            description: None,
            kinds: vec!["classifier".into()],
            unused_kinds: Vec::new(),
            contract: Some("0.9.0".into()),
            path: None,
            sha256: None,
            failures: 0,
        };
        let refused = PluginStatus {
            name: "evil\x1b[2J".into(),
            origin: Origin::Project,
            state: "refused".into(),
            reason: Some("it imports `wasi:sockets/tcp@0.2.0`, which a classifier may not".into()),
            version: None,
            kinds: Vec::new(),
            contract: None,
            path: Some("/srv/shop/.ostler/plugins/evil.wasm".into()),
            ..built_in.clone()
        };
        insta::assert_snapshot!(plugins(Palette::PLAIN, &[refused, built_in]), @r"
        NAME              STATE    VERSION  KINDS       FROM
        evil␛[2J          refused  -                    .ostler/plugins
        regex-classifier  loaded   0.1.0    classifier  built in

        evil␛[2J: it imports `wasi:sockets/tcp@0.2.0`, which a classifier may not
          /srv/shop/.ostler/plugins/evil.wasm
        ");
    }

    #[test]
    fn kinds_that_are_not_used_say_so() {
        let guard = PluginStatus {
            name: "guard".into(),
            origin: Origin::User,
            state: "loaded".into(),
            reason: None,
            version: Some("1.0".into()),
            description: None,
            kinds: vec!["classifier".into(), "validator".into()],
            unused_kinds: vec!["validator".into()],
            contract: Some("0.9.0".into()),
            path: None,
            sha256: None,
            failures: 0,
        };
        insta::assert_snapshot!(plugins(Palette::PLAIN, &[guard]), @r"
        NAME   STATE   VERSION  KINDS                                 FROM
        guard  loaded  1.0      classifier, validator (not used yet)  user's folder
        ");
    }
}
