//! The one Slack message of a run, in Block Kit. Pure; sending is [`crate::slack`]'s.
//!
//! Source: Slack's reference, "Block Kit" and "Formatting text". What a newcomer would get wrong: names come from
//! outside, and a repository named `<!channel>` must not ping everyone; and a message over a limit is refused whole,
//! so everything is cut to fit before it is sent.

use serde_json::{Value, json};

use super::summary::{details, excluded, headline, proof, stored, tallies};
use super::{count, duration, size};
use crate::outcome::{RunStatus, RunSummary};
use crate::text::some_of;

/// Slack's limit for a header.
const HEADER_MAX_CHARS: usize = 150;
/// Slack's limit for a section is 3,000; less keeps the whole message under 10,000.
const SECTION_MAX_CHARS: usize = 2_000;
/// More failures than this have one cause, and the rest is in `ghbk status`.
const FAILURES_SHOWN: usize = 8;

/// Builds the message of a run.
pub fn message(summary: &RunSummary) -> Value {
    let counts = &summary.counts;
    let title = format!("{} ghbk: {}", symbol(summary), headline(summary));
    let took = duration(summary.finished_at - summary.started_at);
    let mut facts = vec![format!("*{}* listed", counts.listed)];
    let moves = [(counts.renamed, "renamed"), (summary.newly_gone.len() as u64, "gone")];
    let moves = moves.into_iter().filter(|(number, _)| *number > 0);
    facts.extend(tallies(counts).chain(moves).map(|(number, label)| format!("*{number}* {label}")));
    let mut blocks = vec![
        json!({"type": "header", "text": {"type": "plain_text", "text": cut(&title, HEADER_MAX_CHARS)}}),
        section(&format!("{}\n{} received in {took}", facts.join(" · "), size(summary.bytes_received))),
    ];
    let mut lines: Vec<String> =
        details(summary).iter().map(|(label, names)| format!("*{label}:* {}", escape(&some_of(names, 10)))).collect();
    lines.extend(excluded(summary));
    lines.extend(stored(summary));
    lines.extend(proof(summary).iter().map(|line| escape(line)));
    if !lines.is_empty() {
        blocks.push(section(&lines.join("\n")));
    }
    if !summary.warnings.is_empty() {
        let warnings: Vec<String> = summary.warnings.iter().take(5).map(|text| format!("• {}", escape(text))).collect();
        blocks.push(section(&format!("*Warnings*\n{}", warnings.join("\n"))));
    }
    if !summary.failures.is_empty() {
        blocks.push(section(&failures(summary)));
    }
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": advice(summary)}]}));
    json!({"text": cut(&title, HEADER_MAX_CHARS), "blocks": blocks})
}

/// Builds the message of `ghbk check --slack`.
pub fn test_message() -> Value {
    let text = "ghbk check: reports of backups will arrive here";
    json!({"text": text, "blocks": [section(text)]})
}

/// Makes the message for a unit that systemd gave up on.
pub fn unit_failed_message(unit: &str, how: &str) -> Value {
    let title = format!("\u{1f534} ghbk: {unit} has failed");
    let what = if unit.starts_with("ghbk-now") {
        "This run did not finish; the daemon and its schedule are not affected."
    } else {
        "No backups are made until it runs again."
    };
    let advice = format!("{what} On the instance: `systemctl status {unit}`, `sudo journalctl -u {unit} -n 50`");
    let text = format!("*{}*\n{}\n_{}_", escape(&title), escape(how), escape(&advice));
    json!({"text": title, "blocks": [section(&text)]})
}

fn failures(summary: &RunSummary) -> String {
    let shown = summary.failures.iter().take(FAILURES_SHOWN).map(|failure| {
        let error = cut(&failure.error, 200);
        format!("• *{}*: {}\n   _{}_", escape(&failure.repository), escape(&error), escape(&cut(&failure.hint, 120)))
    });
    let mut text = format!("*Failed*\n{}", shown.collect::<Vec<_>>().join("\n"));
    let more = summary.failures.len().saturating_sub(FAILURES_SHOWN);
    if more > 0 {
        text.push_str(&format!("\nand {}", count(more as u64, "other", "others")));
    }
    text
}

fn advice(summary: &RunSummary) -> String {
    let next = match summary.status {
        RunStatus::Ok if summary.warnings.is_empty() => "all is well",
        RunStatus::Ok => "look at the warnings",
        RunStatus::Partial | RunStatus::Failed | RunStatus::Unknown => {
            "fix what failed, then `systemctl start ghbk-now`; `ghbk status` shows the details"
        }
        RunStatus::Cancelled => "`systemctl start ghbk-now` continues where it stopped",
    };
    format!("{next} · run {}", summary.run_id)
}

fn symbol(summary: &RunSummary) -> &'static str {
    match summary.status {
        RunStatus::Ok if summary.warnings.is_empty() => "✅",
        RunStatus::Failed => "🔴",
        RunStatus::Ok | RunStatus::Partial | RunStatus::Cancelled | RunStatus::Unknown => "⚠️",
    }
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": cut(text, SECTION_MAX_CHARS)}})
}

/// Escapes the three characters with which Slack's markup begins.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Cuts to this many characters, never within an escape.
fn cut(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(max_chars - 1).collect();
    if let Some(open) = kept.rfind('&')
        && !kept[open..].contains(';')
    {
        kept.truncate(open);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use crate::outcome::{Failure, Stage};

    #[test]
    fn an_eventful_run_is_told_whole() {
        insta::assert_json_snapshot!(message(&samples::eventful()));
    }

    #[test]
    fn a_quiet_run_is_told_in_three_blocks() {
        insta::assert_json_snapshot!(message(&samples::quiet()));
    }

    #[test]
    fn a_thousand_failures_fit_into_slack_s_limits() {
        let mut summary = samples::eventful();
        summary.failures = (0..1000)
            .map(|number| Failure {
                repository: format!("acme/{}{number}", "&<>".repeat(30)),
                stage: Stage::Stage,
                error: "<&>".repeat(200),
                hint: "&".repeat(300),
            })
            .collect();
        summary.warnings = vec!["<".repeat(5000); 20];
        let message = message(&summary);
        let blocks = message["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50);
        for block in blocks {
            let text = block["text"]["text"].as_str().unwrap_or_default();
            assert!(text.chars().count() <= 3000);
            assert!(!text.contains('<') && !text.contains('>'));
            for (at, _) in text.match_indices('&') {
                assert!(["&amp;", "&lt;", "&gt;"].iter().any(|e| text[at..].starts_with(e)), "a cut escape: {text}");
            }
        }
        assert!(message.to_string().len() < 40_000);
    }
}
