//! The synopsis of a page, with the values of options and which can be repeated. Pure.

use clap::{Arg, ArgAction, Command};
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

pub(super) fn section(command: &Command) -> String {
    let mut line = vec![bold(command.get_bin_name().unwrap_or(command.get_name()))];
    let shown = || command.get_arguments().filter(|argument| !argument.is_hide_set());
    let options = |are_required| {
        shown().filter(move |argument| !argument.is_positional() && argument.is_required_set() == are_required)
    };
    for argument in options(false).chain(options(true)).chain(shown().filter(|argument| argument.is_positional())) {
        line.push(roman(" "));
        line.extend(usage(argument));
    }
    if command.has_subcommands() {
        let is_required = command.is_subcommand_required_set();
        line.push(roman(" "));
        line.extend(in_brackets(vec![italic("COMMAND")], !is_required));
    }
    let mut roff = Roff::new();
    // Do not hyphenate names or justify the line in this section.
    roff.control("SH", ["SYNOPSIS"]).control("nh", []).control("ad", ["l"]).text(line);
    roff.control("hy", []).control("ad", ["b"]);
    roff.to_roff()
}

/// An option with its value, or a positional argument.
fn usage(argument: &Arg) -> Vec<Inline> {
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let mut inlines = Vec::new();
    for name in short.into_iter().chain(long) {
        if !inlines.is_empty() {
            inlines.push(roman("|"));
        }
        inlines.push(bold(name));
    }
    if argument.get_action().takes_values() {
        if !inlines.is_empty() {
            inlines.push(roman(" "));
        }
        let names = argument.get_value_names().unwrap_or_default();
        inlines.push(italic(names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ")));
    }
    let mut inlines = in_brackets(inlines, !argument.is_required_set());
    if matches!(argument.get_action(), ArgAction::Append) {
        inlines.push(roman("..."));
    }
    inlines
}

/// Puts optional arguments in brackets.
fn in_brackets(mut inlines: Vec<Inline>, is_optional: bool) -> Vec<Inline> {
    if is_optional {
        inlines.insert(0, roman("["));
        inlines.push(roman("]"));
    }
    inlines
}
