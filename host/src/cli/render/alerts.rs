//! Owns how an alert looks: one line, as many are read one after the other.

use std::fmt::Write;

use super::line::Clock;
use super::style::{self, FAINT, HEADING, Palette};
use super::text::visible;
use crate::api::AlertView;

/// Returns `08:29:25 api errors: the shop is down; 10 events at error within 1m: ValueError: no cart (37 more)`.
pub fn alert(palette: Palette, clock: &Clock, view: &AlertView) -> String {
    let time = palette.paint(FAINT, clock.show(view.time));
    let name = palette.paint(style::WARNING, visible(&view.name));
    let mut text = format!("{time} {} {name}: ", palette.paint(HEADING, view.process.as_str()));
    if let Some(message) = &view.message {
        let _ = write!(text, "{}; ", visible(message));
    }
    let _ = write!(text, "{}: {}", visible(&view.what), visible(&view.text));
    let mut besides = Vec::new();
    if view.meanwhile > 0 {
        besides.push(format!("{} before it untold", view.meanwhile));
    }
    if view.more > 0 {
        besides.push(format!("{} more since", view.more));
    }
    if let Some(until) = view.open_until {
        besides.push(format!("quiet until {}", clock.show(until)));
    }
    if !besides.is_empty() {
        let _ = write!(text, " {}", palette.paint(FAINT, format!("({})", besides.join(", "))));
    }
    text
}

/// Returns an alert that keeps quiet in a few words: `api errors, 37 more since, quiet until 08:34:25`.
pub fn open_alert(clock: &Clock, view: &AlertView) -> String {
    let more = if view.more > 0 { format!(", {} more since", view.more) } else { String::new() };
    let until = view.open_until.map(|until| format!(", quiet until {}", clock.show(until)));
    format!("{} {}{more}{}", view.process, visible(&view.name), until.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ProcessName, RunId, Time};

    #[test]
    fn an_alert_is_a_line() {
        let clock = Clock::utc(jiff::civil::date(2026, 11, 20));
        let mut view = AlertView {
            id: 7,
            name: "errors".into(),
            process: ProcessName::new("api").unwrap(),
            run: RunId(3),
            time: Time(1_795_163_365_000_000_000),
            level: None,
            what: "10 events at error within 1m".into(),
            text: "ValueError: \x1b[2Jno cart".into(),
            message: None,
            meanwhile: 0,
            more: 0,
            open_until: None,
            cursor: "c".into(),
        };
        let shown = |view: &AlertView| alert(Palette::PLAIN, &clock, view);
        insta::assert_snapshot!(shown(&view), @"08:29:25 api errors: 10 events at error within 1m: ValueError: ␛[2Jno cart");
        view.message = Some("the shop is down".into());
        (view.meanwhile, view.more) = (2, 37);
        view.open_until = Some(Time(1_795_163_665_000_000_000));
        insta::assert_snapshot!(shown(&view), @"08:29:25 api errors: the shop is down; 10 events at error within 1m: ValueError: ␛[2Jno cart (2 before it untold, 37 more since, quiet until 08:34:25)");
        assert_eq!(open_alert(&clock, &view), "api errors, 37 more since, quiet until 08:34:25");
    }
}
