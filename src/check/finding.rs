//! The result of a check: findings, each with a verdict and cures. Pure.

use session::on_one_line;

/// The result of one check, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// An earlier step failed.
    NotTried,
    Well,
    /// It works, but needs attention.
    Warning,
    Wrong,
}

impl Verdict {
    /// In the output. Stable.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NotTried => "not tried",
            Self::Well => "well",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }
}

/// What is checked. In the order of the output, which for a server is the order of the steps of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CheckItem {
    /// Environment variables that look like settings, but are not.
    Environment,
    /// Sections of the configuration for servers that do not exist.
    Overrides,
    Spool,
    /// The address and the files of the HTTP listener.
    Http,
    Registration,
    Parameters,
    Name,
    Connection,
    Tls,
    Login,
    Database,
    Powa,
    Extensions,
    Libraries,
    Privileges,
    Datasources,
    Databases,
    Clock,
    RoundTrip,
    /// The collectors that are connected to the repository.
    Collectors,
    /// In the `*_src_tmp` tables.
    LeftoverRows,
}

impl CheckItem {
    /// The items of a remote server.
    pub(super) const OF_A_SERVER: [Self; 15] = [
        Self::Registration,
        Self::Parameters,
        Self::Name,
        Self::Connection,
        Self::Tls,
        Self::Login,
        Self::Database,
        Self::Powa,
        Self::Extensions,
        Self::Libraries,
        Self::Privileges,
        Self::Datasources,
        Self::Databases,
        Self::Clock,
        Self::RoundTrip,
    ];

    /// In the output. Stable.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Overrides => "overrides",
            Self::Spool => "spool",
            Self::Http => "http",
            Self::Registration => "registration",
            Self::Parameters => "parameters",
            Self::Name => "name",
            Self::Connection => "connection",
            Self::Tls => "tls",
            Self::Login => "login",
            Self::Database => "database",
            Self::Powa => "powa",
            Self::Extensions => "extensions",
            Self::Libraries => "libraries",
            Self::Privileges => "privileges",
            Self::Datasources => "datasources",
            Self::Databases => "databases",
            Self::Clock => "clock",
            Self::RoundTrip => "round trip",
            Self::Collectors => "collectors",
            Self::LeftoverRows => "left-over rows",
        }
    }
}

/// Where a cure applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CureKind {
    /// SQL to run in the database with PoWA on the remote server.
    RemoteSql,
    /// SQL to run in the repository.
    RepositorySql,
    /// A line for `postgresql.conf` on the server that the finding is about.
    PostgresqlConf,
    /// A line for `pg_hba.conf` on the server that refused the connection.
    PgHbaConf,
    /// A key of the collector's configuration, and its value in words.
    Configuration,
    /// Anything else, in words.
    Advice,
}

impl CureKind {
    fn is_sql(self) -> bool {
        matches!(self, Self::RemoteSql | Self::RepositorySql)
    }

    /// In the output. Stable.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::RemoteSql => "remote server",
            Self::RepositorySql => "repository",
            Self::PostgresqlConf => "postgresql.conf",
            Self::PgHbaConf => "pg_hba.conf",
            Self::Configuration => "configuration",
            Self::Advice => "advice",
        }
    }
}

/// A way to solve a problem. If a finding has several, one is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cure {
    pub kind: CureKind,
    pub text: String,
}

impl Cure {
    /// Escapes control characters, as `text` can contain names from a server, and ends SQL with a semicolon for psql.
    pub(crate) fn new(kind: CureKind, text: impl AsRef<str>) -> Self {
        let mut text = on_one_line(text.as_ref()).into_owned();
        if kind.is_sql() {
            text.push(';');
        }
        Self { kind, text }
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub item: CheckItem,
    pub verdict: Verdict,
    /// The datasource, database or extension, for an item that has several.
    pub about: Option<String>,
    /// The state or the problem, on one line.
    pub message: String,
    pub cures: Vec<Cure>,
}

impl Finding {
    /// `message` can contain text from a server: it is escaped and shortened.
    pub(crate) fn new(item: CheckItem, verdict: Verdict, message: impl AsRef<str>) -> Self {
        Self { item, verdict, about: None, message: bounded(message.as_ref()), cures: vec![] }
    }

    #[must_use]
    pub(crate) fn about(self, name: impl AsRef<str>) -> Self {
        Self { about: Some(bounded(name.as_ref())), ..self }
    }

    #[must_use]
    pub(crate) fn cured_by(mut self, kind: CureKind, text: impl AsRef<str>) -> Self {
        self.cures.push(Cure::new(kind, text));
        self
    }
}

/// On one line, and not too long to read.
fn bounded(text: &str) -> String {
    const MAX_CHARACTERS: usize = 2000;
    let end = text.char_indices().nth(MAX_CHARACTERS).map_or(text.len(), |(end, _)| end);
    let ellipsis = if end < text.len() { "..." } else { "" };
    format!("{}{ellipsis}", on_one_line(&text[..end]))
}

/// Findings per item. A server can have any number of databases.
const MAX_PER_ITEM: usize = 50;

/// All findings about one server, the repository or the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    all: Vec<Finding>,
}

impl Findings {
    pub(crate) fn push(&mut self, finding: Finding) {
        self.all.push(finding);
    }

    pub(crate) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.all.extend(findings);
    }

    /// Adds that all is well with an item.
    pub(crate) fn well(&mut self, item: CheckItem, message: impl AsRef<str>) {
        self.push(Finding::new(item, Verdict::Well, message));
    }

    /// Sorts the findings about a server, marks items without a finding as not tried, and limits the findings per item.
    #[must_use]
    pub(crate) fn complete(mut self) -> Self {
        for item in CheckItem::OF_A_SERVER {
            let (mut of_item, others): (Vec<_>, Vec<_>) =
                self.all.into_iter().partition(|finding| finding.item == item);
            self.all = others;
            if of_item.is_empty() {
                of_item.push(Finding::new(item, Verdict::NotTried, "an earlier step failed"));
            }
            if of_item.len() > MAX_PER_ITEM {
                let rest = of_item.split_off(MAX_PER_ITEM - 1);
                let verdict = rest.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::NotTried);
                of_item.push(Finding::new(item, verdict, format!("and {} more", rest.len())));
            }
            self.all.extend(of_item);
        }
        self.all.sort_by_key(|finding| finding.item);
        self
    }

    /// The worst of all verdicts.
    pub(crate) fn verdict(&self) -> Verdict {
        self.all.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Well)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.all.iter()
    }

    /// The first finding with the worst verdict; `None` if all is well.
    pub(crate) fn worst(&self) -> Option<&Finding> {
        let verdict = self.verdict();
        self.all.iter().find(|finding| finding.verdict == verdict).filter(|_| verdict > Verdict::Well)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_that_of_the_worst_finding() {
        let mut findings = Findings::default();
        assert_eq!((findings.verdict(), findings.worst()), (Verdict::Well, None));
        findings.push(Finding::new(CheckItem::Clock, Verdict::Warning, "slow"));
        findings.push(Finding::new(CheckItem::Name, Verdict::NotTried, ""));
        assert_eq!(findings.verdict(), Verdict::Warning);
        findings.push(Finding::new(CheckItem::Login, Verdict::Wrong, "a\nb"));
        assert_eq!(findings.worst().map(|worst| worst.message.as_str()), Some("a\\nb"));
    }

    #[test]
    fn sql_ends_like_a_statement() {
        let text = |kind| Cure::new(kind, "a").text;
        assert_eq!(
            [text(CureKind::RemoteSql), text(CureKind::RepositorySql), text(CureKind::Advice)],
            ["a;", "a;", "a"]
        );
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let message = Finding::new(CheckItem::Powa, Verdict::Wrong, format!("\n{}", "é".repeat(100_000))).message;
        assert!(message.starts_with("\\né") && message.ends_with("...") && message.chars().count() < 2010);
    }

    #[test]
    fn findings_are_sorted_and_their_number_is_limited() {
        let mut findings = Findings::default();
        findings.extend((0..1000).map(|n| Finding::new(CheckItem::Databases, Verdict::Wrong, n.to_string())));
        findings.well(CheckItem::Registration, "");
        let findings = findings.complete();
        let of = |item| findings.iter().filter(move |finding| finding.item == item).collect::<Vec<_>>();
        assert_eq!(findings.iter().next().unwrap().item, CheckItem::Registration);
        assert_eq!(of(CheckItem::Databases).len(), MAX_PER_ITEM);
        assert_eq!(of(CheckItem::Databases)[MAX_PER_ITEM - 1].message, "and 951 more");
        assert_eq!(of(CheckItem::Login)[0].verdict, Verdict::NotTried);
    }
}
