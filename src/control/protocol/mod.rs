//! Parses commands from payloads of notifications, and formats answers. Pure.
//!
//! A request is `COMMAND RESPONSE_CHANNEL [ARGUMENT ...]`, an answer `COMMAND STATUS DATA`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

use super::detail::Detail;
use crate::server::ServerId;
use crate::snapshot::CatalogRefresh;
use crate::worker::Status;

/// The longest payload in bytes: `pg_notify()` accepts less than 8,000.
const MAX_PAYLOAD_BYTES: usize = 7_999;

/// The names of all commands.
const NAMES: [&str; 5] = ["RELOAD", "WORKERS_STATUS", "WORKERS_DETAIL", "FORCE_SNAPSHOT", "REFRESH_DB_CAT"];

/// A parsed request.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// The first word, which the answer repeats.
    pub name: String,
    /// The response channel; `None` if no answer is requested.
    pub channel: Option<String>,
    /// The command, or why it is invalid.
    pub command: Result<Command, String>,
}

/// A valid command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Reload,
    WorkersStatus(ServerSelection),
    WorkersDetail(ServerSelection),
    ForceSnapshot(ServerId),
    RefreshCatalogs(ServerId, CatalogRefresh),
}

/// The servers that a command selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerSelection {
    All,
    /// These servers. Unknown ones are ignored.
    Only(Vec<ServerId>),
}

impl ServerSelection {
    /// Whether this server is selected.
    pub fn contains(&self, id: ServerId) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.contains(&id),
        }
    }
}

impl Request {
    /// Parses a payload. Never fails: an invalid command is an error in [`Self::command`].
    pub fn parse(payload: &str) -> Self {
        let mut words = payload.split(' ');
        let name = words.next().unwrap_or_default();
        let channel = words.next().filter(|channel| !channel.is_empty() && *channel != "-");
        let arguments: Vec<&str> = words.collect();
        let command = match name {
            "RELOAD" => Ok(Command::Reload),
            "WORKERS_STATUS" => parse_selection(&arguments).map(Command::WorkersStatus),
            "WORKERS_DETAIL" => parse_selection(&arguments).map(Command::WorkersDetail),
            "FORCE_SNAPSHOT" => force_snapshot(&arguments),
            "REFRESH_DB_CAT" => refresh_catalogs(&arguments),
            _ => Err(unknown(name)),
        };
        Self { name: name.into(), channel: channel.map(Into::into), command }
    }

    /// The name, if it is the name of a known command.
    pub fn known_name(&self) -> Option<&'static str> {
        NAMES.into_iter().find(|name| *name == self.name)
    }

    /// Formats an answer to this request.
    pub fn answer(&self, outcome: &Result<String, String>) -> String {
        let (status, data) = match outcome {
            Ok(data) => ("OK", data),
            Err(reason) => ("KO", reason),
        };
        let mut text = format!("{} {status} {data}", self.name);
        text.truncate(text.floor_char_boundary(MAX_PAYLOAD_BYTES));
        text
    }
}

/// A parsed answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    /// The first word of the request.
    pub name: &'a str,
    /// The data, or why the request was refused.
    pub outcome: Result<&'a str, Refusal<'a>>,
}

/// Why a request was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal<'a> {
    /// The collector does not know the command.
    Unknown,
    Reason(&'a str),
}

impl<'a> Answer<'a> {
    /// Parses a payload. `None` if it is not an answer.
    pub(crate) fn parse(payload: &'a str) -> Option<Self> {
        let mut words = payload.splitn(3, ' ');
        let (name, status) = (words.next()?, words.next()?);
        let data = words.next().unwrap_or_default();
        let outcome = match status {
            "OK" => Ok(data),
            // The status that the Python collector uses.
            "UNKNOWN" => Err(Refusal::Unknown),
            _ if data == unknown(name) => Err(Refusal::Unknown),
            _ => Err(Refusal::Reason(data)),
        };
        Some(Self { name, outcome })
    }
}

fn unknown(name: &str) -> String {
    format!("Command \"{name}\" unknown, ignored")
}

fn parse_selection(arguments: &[&str]) -> Result<ServerSelection, String> {
    // powa-web sends a trailing space when it selects all servers.
    let ids: Vec<&str> = arguments.iter().copied().filter(|argument| !argument.is_empty()).collect();
    if ids.is_empty() {
        return Ok(ServerSelection::All);
    }
    let ids: Result<Vec<_>, _> = ids.into_iter().map(parse_id).collect();
    // A number that is not a valid id is treated like an unknown server.
    Ok(ServerSelection::Only(ids?.into_iter().flatten().collect()))
}

fn force_snapshot(arguments: &[&str]) -> Result<Command, String> {
    match arguments {
        [id] => Ok(Command::ForceSnapshot(parse_known_id(id)?)),
        _ => Err(format!("FORCE_SNAPSHOT takes one server id, found {} arguments", arguments.len())),
    }
}

fn refresh_catalogs(arguments: &[&str]) -> Result<Command, String> {
    let [id, count, names @ ..] = arguments else {
        return Err(format!(
            "REFRESH_DB_CAT takes a server id, a number of databases and their names, found {} arguments",
            arguments.len()
        ));
    };
    let id = parse_known_id(id)?;
    let count: usize = count.parse().map_err(|_| format!("invalid number of databases {count}"))?;
    let refresh = match (count, names) {
        (0, [] | [""]) => CatalogRefresh::All,
        // A single name may contain spaces.
        (1, [_, ..]) => CatalogRefresh::Only([names.join(" ")].into()),
        (2.., names) if names.len() == count => CatalogRefresh::Only(names.iter().map(ToString::to_string).collect()),
        _ => return Err(format!("expected {count} database names, found {}", names.len())),
    };
    Ok(Command::RefreshCatalogs(id, refresh))
}

/// Parses a server id. `None` for a number that is too large or zero, which no server has.
fn parse_id(text: &str) -> Result<Option<ServerId>, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("invalid remote server id {text}"));
    }
    Ok(text.parse().ok().and_then(ServerId::new))
}

fn parse_known_id(text: &str) -> Result<ServerId, String> {
    parse_id(text)?.ok_or_else(|| format!("Server id {text} not found"))
}

/// The workers' statuses as JSON objects, split so that each fits into an answer.
pub fn status_objects(request: &Request, statuses: &BTreeMap<ServerId, Status>) -> Vec<String> {
    let room = MAX_PAYLOAD_BYTES - format!("{} OK ", request.name).len();
    objects(room, statuses.iter().map(|(id, status)| (*id, serde_json::Value::from(status.to_string()).to_string())))
}

/// An answer to `WORKERS_DETAIL`. There may be several.
#[derive(Debug, Deserialize)]
pub(crate) struct Details {
    /// The number of servers in all answers together.
    pub of: usize,
    pub servers: BTreeMap<ServerId, Detail>,
}

/// The workers' states as JSON objects, split so that each fits into an answer. Each has the total number of servers, so that the
/// client knows when it has received all of them.
pub(crate) fn detail_objects(request: &Request, details: &BTreeMap<ServerId, Detail>) -> Vec<String> {
    let (before, after) = (format!("{{\"of\": {}, \"servers\": ", details.len()), "}");
    let room = MAX_PAYLOAD_BYTES - format!("{} OK {before}{after}", request.name).len();
    let members = details.iter().map(|(id, detail)| (*id, detail.to_json()));
    objects(room, members).into_iter().map(|servers| format!("{before}{servers}{after}")).collect()
}

/// JSON objects with a member for each server, each at most `room` bytes long.
fn objects(room: usize, members: impl Iterator<Item = (ServerId, String)>) -> Vec<String> {
    let mut objects = vec![String::from("{")];
    for (id, value) in members {
        let member = format!("\"{id}\": {value}");
        let object = objects.last_mut().expect("there is one from the beginning");
        // The comma and space before it, and the brace after it.
        if object.len() + member.len() + 3 > room {
            object.push('}');
            objects.push(String::from("{"));
        }
        let object = objects.last_mut().expect("there is one from the beginning");
        let comma = if object.len() > 1 { ", " } else { "" };
        write!(object, "{comma}{member}").expect("a String takes everything");
    }
    objects.last_mut().expect("there is one from the beginning").push('}');
    objects
}
