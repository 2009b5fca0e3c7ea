//! The section `hooks`: what is started when a server fails, and when it has recovered.

use std::time::Duration;

use axum::http::Uri;
use libpq::Secret;

use super::schema::Checked;
use super::violation::Violation;

const WEBHOOK: &str = "hooks.webhook";

/// The section `hooks`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hooks {
    /// A program with its arguments. Empty: none.
    pub on_failure: Vec<String>,
    pub on_recovery: Vec<String>,
    /// A URL that both events are posted to. Secret, as it may contain a token.
    pub webhook: Option<Secret>,
    /// How long a server has to fail before that is an event.
    pub delay: Duration,
    /// For one run of a program, or one request.
    pub timeout: Duration,
}

impl Hooks {
    pub(super) fn read(values: &Checked, violations: &mut Vec<Violation>) -> Self {
        let webhook = values.text(WEBHOOK).filter(|url| !url.is_empty());
        if webhook.as_deref().is_some_and(|url| !is_http(url)) {
            violations.push(values.invalid(WEBHOOK, "must be a URL that begins with https:// or http://".into()));
        }
        Self {
            on_failure: program(values.list("hooks.on_failure")),
            on_recovery: program(values.list("hooks.on_recovery")),
            webhook: webhook.map(Secret::new),
            delay: values.seconds("hooks.delay"),
            timeout: values.seconds("hooks.timeout"),
        }
    }

    /// Whether there is anything to start.
    pub(crate) fn is_empty(&self) -> bool {
        self.on_failure.is_empty() && self.on_recovery.is_empty() && self.webhook.is_none()
    }
}

/// Empty means not set, so that an environment variable can override the configuration file.
fn program(list: Vec<String>) -> Vec<String> {
    if list.first().is_some_and(|program| program.is_empty()) { vec![] } else { list }
}

fn is_http(url: &str) -> bool {
    let is_http = |url: Uri| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
    };
    url.parse::<Uri>().is_ok_and(is_http)
}

#[cfg(test)]
mod tests {
    use crate::config::tests::{read, refusal_among};

    fn file(hooks: &str) -> String {
        format!(r#"{{"repository": {{"dsn": "host=h"}}, "hooks": {hooks}}}"#)
    }

    #[test]
    fn a_program_is_a_list_or_one_word() {
        let hooks = |text: &str| read(&file(text)).unwrap().hooks;
        assert!(hooks("{}").is_empty());
        assert!(hooks(r#"{"on_failure": [], "on_recovery": "", "webhook": ""}"#).is_empty());
        assert_eq!(hooks(r#"{"on_failure": "/bin/page"}"#).on_failure, ["/bin/page"]);
        assert_eq!(hooks(r#"{"on_recovery": ["/bin/page", "--well"]}"#).on_recovery, ["/bin/page", "--well"]);
        let webhook = hooks(r#"{"webhook": "https://chat.example/s3cret"}"#);
        assert!(!webhook.is_empty() && !format!("{webhook:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_no_url_is_rejected_without_quoting_it() {
        for url in ["chat.example/s3cret", "ftp://chat.example/s3cret", "https:///s3cret", "https://", "/s3cret"] {
            let message = refusal_among(&[], &file(&format!(r#"{{"webhook": "{url}"}}"#)));
            assert!(
                message.contains("\"hooks.webhook\" must be a URL that begins with https:// or http://"),
                "{message}"
            );
        }
    }
}
