//! Payloads of notifications, to commands and from answers. Pure.
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

/// `pg_notify()` takes payloads of less than 8,000 bytes.
const LONGEST_PAYLOAD: usize = 7_999;

/// What commands are called.
const NAMES: [&str; 5] = ["RELOAD", "WORKERS_STATUS", "WORKERS_DETAIL", "FORCE_SNAPSHOT", "REFRESH_DB_CAT"];

/// A payload, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// The first word, for the answer.
    pub name: String,
    /// Where the answer goes; `None` if it is not wanted.
    pub channel: Option<String>,
    /// What to do, or why it cannot be understood.
    pub command: Result<Command, String>,
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Reload,
    WorkersStatus(Which),
    WorkersDetail(Which),
    ForceSnapshot(ServerId),
    RefreshCatalogs(ServerId, CatalogRefresh),
}

/// Whose status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    All,
    /// Those of these there are.
    Only(Vec<ServerId>),
}

impl Which {
    /// Whether this server's is asked for.
    pub fn has(&self, id: ServerId) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.contains(&id),
        }
    }
}

impl Request {
    /// Takes any text.
    pub fn parse(payload: &str) -> Self {
        let mut words = payload.split(' ');
        let name = words.next().unwrap_or_default();
        let channel = words.next().filter(|channel| !channel.is_empty() && *channel != "-");
        let arguments: Vec<&str> = words.collect();
        let command = match name {
            "RELOAD" => Ok(Command::Reload),
            "WORKERS_STATUS" => which(&arguments).map(Command::WorkersStatus),
            "WORKERS_DETAIL" => which(&arguments).map(Command::WorkersDetail),
            "FORCE_SNAPSHOT" => force_snapshot(&arguments),
            "REFRESH_DB_CAT" => refresh_catalogs(&arguments),
            _ => Err(unknown(name)),
        };
        Self { name: name.into(), channel: channel.map(Into::into), command }
    }

    /// The name, if it is that of a command.
    pub fn known_name(&self) -> Option<&'static str> {
        NAMES.into_iter().find(|name| *name == self.name)
    }

    /// An answer to this request.
    pub fn answer(&self, outcome: &Result<String, String>) -> String {
        let (status, data) = match outcome {
            Ok(data) => ("OK", data),
            Err(reason) => ("KO", reason),
        };
        let mut text = format!("{} {status} {data}", self.name);
        text.truncate(text.floor_char_boundary(LONGEST_PAYLOAD));
        text
    }
}

/// An answer, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The first word of the request.
    pub name: &'a str,
    /// What came of it, or why nothing did.
    pub outcome: Result<&'a str, Refusal<'a>>,
}

/// Why a request was not carried out.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    /// The command is not known there.
    Unknown,
    Because(&'a str),
}

impl<'a> Answer<'a> {
    /// `None` for what is no answer.
    pub fn parse(payload: &'a str) -> Option<Self> {
        let mut words = payload.splitn(3, ' ');
        let (name, status) = (words.next()?, words.next()?);
        let data = words.next().unwrap_or_default();
        let outcome = match status {
            "OK" => Ok(data),
            // The Python collector's word for it.
            "UNKNOWN" => Err(Refusal::Unknown),
            _ if data == unknown(name) => Err(Refusal::Unknown),
            _ => Err(Refusal::Because(data)),
        };
        Some(Self { name, outcome })
    }
}

fn unknown(name: &str) -> String {
    format!("Command \"{name}\" unknown, ignored")
}

fn which(arguments: &[&str]) -> Result<Which, String> {
    // powa-web ends its request with a space when it wants all of them.
    let ids: Vec<&str> = arguments.iter().copied().filter(|argument| !argument.is_empty()).collect();
    if ids.is_empty() {
        return Ok(Which::All);
    }
    let ids: Result<Vec<_>, _> = ids.into_iter().map(parse_id).collect();
    // A number that no server can have is as unknown as one that no server has.
    Ok(Which::Only(ids?.into_iter().flatten().collect()))
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
        // The only name may have spaces in it.
        (1, [_, ..]) => CatalogRefresh::Only([names.join(" ")].into()),
        (2.., names) if names.len() == count => CatalogRefresh::Only(names.iter().map(ToString::to_string).collect()),
        _ => return Err(format!("{count} databases were announced, and {} named", names.len())),
    };
    Ok(Command::RefreshCatalogs(id, refresh))
}

/// A number that is too large for an id, or not above zero, is one that no server has: `None`.
fn parse_id(text: &str) -> Result<Option<ServerId>, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("invalid remote server id {text}"));
    }
    Ok(text.parse().ok().and_then(ServerId::new))
}

fn parse_known_id(text: &str) -> Result<ServerId, String> {
    parse_id(text)?.ok_or_else(|| format!("Server id {text} not found"))
}

/// The workers' statuses as JSON objects, as many as it takes for each to fit into an answer.
pub fn status_objects(request: &Request, statuses: &BTreeMap<ServerId, Status>) -> Vec<String> {
    let room = LONGEST_PAYLOAD - format!("{} OK ", request.name).len();
    objects(room, statuses.iter().map(|(id, status)| (*id, serde_json::Value::from(status.to_string()).to_string())))
}

/// One of the answers to `WORKERS_DETAIL`.
#[derive(Debug, Deserialize)]
pub struct Details {
    /// Servers that all answers together tell of.
    pub of: usize,
    pub servers: BTreeMap<ServerId, Detail>,
}

/// What is known of the workers as JSON objects, as many as it takes for each to fit into an answer. Each says how many
/// servers all of them tell of, so that whoever asks knows when there are no more to come.
pub fn detail_objects(request: &Request, details: &BTreeMap<ServerId, Detail>) -> Vec<String> {
    let (before, after) = (format!("{{\"of\": {}, \"servers\": ", details.len()), "}");
    let room = LONGEST_PAYLOAD - format!("{} OK {before}{after}", request.name).len();
    let members = details.iter().map(|(id, detail)| (*id, detail.to_json()));
    objects(room, members).into_iter().map(|servers| format!("{before}{servers}{after}")).collect()
}

/// Objects with a member for each server, each no larger than the room there is.
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
