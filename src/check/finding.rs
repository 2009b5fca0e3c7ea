//! What was looked at, what was found, and what cures it. Pure.

use crate::one_line::on_one_line;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Something before it has failed.
    NotTried,
    Well,
    /// It works, and somebody should look at it.
    Warning,
    Wrong,
}

impl Mark {
    /// In a word that does not change.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotTried => "not tried",
            Self::Well => "well",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }
}

/// What is looked at, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Overrides that are nobody's.
    Overrides,
    Spool,
    /// The files for those who watch the collector.
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
    /// Those that take snapshots for the repository.
    Collectors,
}

impl What {
    /// All that is looked at on a remote server.
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

    /// In a word that does not change.
    pub fn word(self) -> &'static str {
        match self {
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
        }
    }
}

/// Where something is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// SQL, in the database with PoWA of the remote server.
    Remote,
    /// SQL, in the repository.
    Repository,
    /// A line of `postgresql.conf` on the remote server.
    ServerSettings,
    /// A line of `pg_hba.conf` on the side that refuses.
    HostBasedAccess,
    /// A key of the collector's configuration, and what about it.
    Configuration,
    /// Somewhere else, in words.
    Elsewhere,
}

impl Place {
    /// What is to be done there is said in SQL.
    fn takes_sql(self) -> bool {
        matches!(self, Self::Remote | Self::Repository)
    }

    /// In a word that does not change.
    pub fn word(self) -> &'static str {
        match self {
            Self::Remote => "remote server",
            Self::Repository => "repository",
            Self::ServerSettings => "postgresql.conf",
            Self::HostBasedAccess => "pg_hba.conf",
            Self::Configuration => "configuration",
            Self::Elsewhere => "advice",
        }
    }
}

/// What to do: one of several that are told is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cure {
    pub place: Place,
    pub text: String,
}

impl Cure {
    /// Names in it may be anybody's. SQL needs no semicolon: it gets one, so that several can be given to psql.
    pub fn new(place: Place, text: impl AsRef<str>) -> Self {
        let mut text = on_one_line(text.as_ref()).into_owned();
        if place.takes_sql() {
            text.push(';');
        }
        Self { place, text }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub what: What,
    pub mark: Mark,
    /// Which datasource, database or extension, if there are several.
    pub about: Option<String>,
    /// What there is, or what is wrong, on one line.
    pub said: String,
    pub cures: Vec<Cure>,
}

impl Finding {
    /// What is said may be what a server has said.
    pub fn new(what: What, mark: Mark, said: impl AsRef<str>) -> Self {
        Self { what, mark, about: None, said: bounded(said.as_ref()), cures: vec![] }
    }

    #[must_use]
    pub fn about(self, subject: impl AsRef<str>) -> Self {
        Self { about: Some(bounded(subject.as_ref())), ..self }
    }

    #[must_use]
    pub fn cured_by(mut self, place: Place, text: impl AsRef<str>) -> Self {
        self.cures.push(Cure::new(place, text));
        self
    }
}

/// On one line, and of a length that somebody may want to read.
fn bounded(text: &str) -> String {
    const LONGEST: usize = 2000;
    let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(end, _)| end);
    let more = if end < text.len() { "..." } else { "" };
    format!("{}{more}", on_one_line(&text[..end]))
}

/// As many findings are told of one thing that is looked at: a server can have as many databases as it likes.
const MOST: usize = 50;

/// All that was found, in the order in which it is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    all: Vec<Finding>,
}

impl Findings {
    pub fn push(&mut self, finding: Finding) {
        self.all.push(finding);
    }

    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.all.extend(findings);
    }

    /// All is well with something.
    pub fn well(&mut self, what: What, said: impl AsRef<str>) {
        self.push(Finding::new(what, Mark::Well, said));
    }

    /// In order; of what was not looked at, it is said that it was not, and of many the first.
    #[must_use]
    pub fn complete(mut self) -> Self {
        for what in What::OF_A_SERVER {
            let (mut of_it, others): (Vec<_>, Vec<_>) = self.all.into_iter().partition(|finding| finding.what == what);
            self.all = others;
            if of_it.is_empty() {
                of_it.push(Finding::new(what, Mark::NotTried, "something before it failed"));
            }
            if of_it.len() > MOST {
                let rest = of_it.split_off(MOST - 1);
                let mark = rest.iter().map(|finding| finding.mark).max().unwrap_or(Mark::NotTried);
                of_it.push(Finding::new(what, mark, format!("and {} like these", rest.len())));
            }
            self.all.extend(of_it);
        }
        self.all.sort_by_key(|finding| finding.what);
        self
    }

    /// How it is altogether: as the worst of it.
    pub fn mark(&self) -> Mark {
        self.all.iter().map(|finding| finding.mark).max().unwrap_or(Mark::Well)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.all.iter()
    }

    /// The first that is worst, if not all is well.
    pub fn worst(&self) -> Option<&Finding> {
        let mark = self.mark();
        self.all.iter().find(|finding| finding.mark == mark).filter(|_| mark > Mark::Well)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_bad_as_the_worst_of_it() {
        let mut findings = Findings::default();
        assert_eq!((findings.mark(), findings.worst()), (Mark::Well, None));
        findings.push(Finding::new(What::Clock, Mark::Warning, "slow"));
        findings.push(Finding::new(What::Name, Mark::NotTried, ""));
        assert_eq!(findings.mark(), Mark::Warning);
        findings.push(Finding::new(What::Login, Mark::Wrong, "a\nb"));
        assert_eq!(findings.worst().map(|worst| worst.said.as_str()), Some("a\\nb"));
    }

    #[test]
    fn what_is_sql_ends_like_a_statement() {
        let text = |place| Cure::new(place, "a").text;
        assert_eq!([text(Place::Remote), text(Place::Repository), text(Place::Elsewhere)], ["a;", "a;", "a"]);
    }

    #[test]
    fn what_is_said_is_one_line_of_bounded_length() {
        let said = Finding::new(What::Powa, Mark::Wrong, format!("\n{}", "é".repeat(100_000))).said;
        assert!(said.starts_with("\\né") && said.ends_with("...") && said.chars().count() < 2010);
    }

    #[test]
    fn all_is_told_in_order_and_of_many_the_first() {
        let mut findings = Findings::default();
        findings.extend((0..1000).map(|n| Finding::new(What::Databases, Mark::Wrong, n.to_string())));
        findings.well(What::Registration, "");
        let findings = findings.complete();
        let of = |what| findings.iter().filter(move |finding| finding.what == what).collect::<Vec<_>>();
        assert_eq!(findings.iter().next().unwrap().what, What::Registration);
        assert_eq!(of(What::Databases).len(), MOST);
        assert_eq!(of(What::Databases)[MOST - 1].said, "and 951 like these");
        assert_eq!(of(What::Login)[0].mark, Mark::NotTried);
    }
}
