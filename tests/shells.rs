//! Completions in the real shells, and manual pages without warnings.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Terminal, output, program};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("bash_completes_commands_and_options", bash_completes_commands_and_options),
    ("zsh_completes_commands_and_options", zsh_completes_commands_and_options),
    ("fish_completes_commands_and_options", fish_completes_commands_and_options),
    ("man_shows_a_page_for_each_command", man_shows_a_page_for_each_command),
    ("a_reader_who_has_enough_is_no_error", a_reader_who_has_enough_is_no_error),
];

/// What is typed, and what comes of it.
const COMPLETIONS: [(&str, &str); 4] = [
    ("powa-collector ser", "servers"),
    ("powa-collector servers rem", "remove"),
    ("powa-collector servers add --host db1 --che", "--check"),
    ("powa-collector refresh-catalogs --hel", "--help"),
];

fn stdout_of(command: &mut Command) -> String {
    let output = output(command);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn completions(shell: &str, directory: &Path) -> PathBuf {
    let file = directory.join(format!("_powa-collector.{shell}"));
    std::fs::write(&file, stdout_of(program().args(["completions", shell]))).unwrap();
    file
}

/// One that the tests need and that is not there is no test that passed.
fn shell(name: &str) -> Command {
    let there = Command::new(name).arg("--version").output();
    assert!(there.is_ok(), "{name} is not on this machine: scripts/install-dependencies test");
    Command::new(name)
}

fn bash_completes_commands_and_options() {
    let directory = tempfile::tempdir().unwrap();
    // As bash itself does when somebody presses the key: whatever function has been said to complete it is called.
    let script = r#"
        source "$1"
        read -ra words <<< "$2"
        specification=$(complete -p powa-collector)
        function=${specification#*-F }
        COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1))
        "${function%% *}" powa-collector "${words[-1]}" "${words[-2]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let file = completions("bash", directory.path());
    for (typed, completed) in COMPLETIONS {
        let found = stdout_of(shell("bash").args(["--norc", "-c", script, "bash"]).arg(&file).arg(typed));
        assert_eq!(found.lines().collect::<Vec<_>>(), [completed], "{typed}");
    }
}

fn fish_completes_commands_and_options() {
    let directory = tempfile::tempdir().unwrap();
    let file = completions("fish", directory.path());
    for (typed, completed) in COMPLETIONS {
        let mut fish = shell("fish");
        fish.env("HOME", directory.path()).args(["--no-config", "-c", "source $argv[1]; complete -C $argv[2]"]);
        let found = stdout_of(fish.arg(&file).arg(typed));
        let names: Vec<_> = found.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(names, [completed], "{typed}");
    }
}

fn zsh_completes_commands_and_options() {
    let directory = tempfile::tempdir().unwrap();
    let file = completions("zsh", directory.path());
    std::fs::rename(file, directory.path().join("_powa-collector")).unwrap();
    let mut zsh = shell("zsh");
    zsh.arg("-f").arg("-i").env("HOME", directory.path()).env("PS1", "> ").env_remove("RPS1");
    let mut terminal = Terminal::run(&zsh, 200);
    terminal.press("PS1='ready> '; unsetopt zle_bracketed_paste; fpath=($HOME $fpath)\n");
    terminal.press("autoload -U compinit; compinit -u; print -r -- set'-'up\n");
    terminal.wait_to_show("set-up");
    for (index, (typed, completed)) in COMPLETIONS.into_iter().enumerate() {
        // What is completed is printed, and not run.
        terminal.press(&format!("{typed}\t' print'ed-{index}\u{1}print -r -- \n"));
        terminal.wait_to_show(&format!("{completed}  printed-{index}"));
    }
    terminal.press("exit\n");
    terminal.end();
}

fn man_shows_a_page_for_each_command() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(stdout_of(program().arg("man").arg("--directory").arg(directory.path())), "");
    let pages: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|page| page.unwrap().path()).collect();
    let shown = |page: &Path| {
        let mut man = shell("man");
        // All warnings there are; they go to standard error.
        man.env("MANROFFOPT", "-ww").env("MANWIDTH", "100").env("LC_ALL", "C.UTF-8").env("PAGER", "cat");
        stdout_of(man.args(["--warnings", "--local-file"]).arg(page))
    };
    let there: Vec<_> = pages.iter().map(|page| page.file_stem().unwrap().to_str().unwrap()).collect();
    for page in &pages {
        let text = shown(page);
        for section in ["SYNOPSIS", "EXIT STATUS", "SEE ALSO"] {
            assert!(text.contains(section), "{section}: {}", page.display());
        }
        // The rest is another page of ours, or somebody else's.
        let (_, see_also) = text.split_once("SEE ALSO").unwrap();
        let words = see_also.split([',', ' ', '\n']).filter_map(|word| word.strip_suffix("(1)"));
        let named: Vec<_> = words.filter(|word| word.starts_with("powa-collector")).collect();
        assert!(!named.is_empty() && named.iter().all(|name| there.contains(name)), "{named:?}: {}", page.display());
    }
    let page = |name: &str| shown(&directory.path().join(name));
    assert!(page("powa-collector.1").contains("SIGHUP reloads") && page("powa-collector.1").contains("psql(1)"));
    assert!(page("powa-collector-servers-add.1").contains("--password-file"));
    let synopsis = |name: &str| {
        let words = page(name).split_whitespace().collect::<Vec<_>>().join(" ");
        let (_, synopsis) = words.split_once("SYNOPSIS ").unwrap();
        synopsis.split_once(" DESCRIPTION").unwrap().0.to_owned()
    };
    assert_eq!(
        synopsis("powa-collector.1"),
        "powa-collector [-c|--config FILE] [--log-format FORMAT] [-h|--help] [-V|--version] [COMMAND]"
    );
    assert_eq!(
        synopsis("powa-collector-refresh-catalogs.1"),
        "powa-collector refresh-catalogs [-c|--config FILE] [-h|--help] SERVER [DATABASE]..."
    );
    let add = synopsis("powa-collector-servers-add.1");
    assert!(add.contains(" [--port PORT] ") && add.contains(" [--extension NAME]... "), "{add}");
    assert!(add.ends_with(" --host HOST"), "{add}");
    assert!(page("powa-collector-servers-add.1").contains("powa-collector-servers-set(1)"));
    assert!(page("powa-collector-snapshot.1").contains("with --wait, it was stored completely"));
    let alone = directory.path().join("alone");
    std::fs::write(&alone, stdout_of(program().arg("man"))).unwrap();
    assert_eq!(std::fs::read(alone).unwrap(), std::fs::read(directory.path().join("powa-collector.1")).unwrap());
    let nowhere = output(program().args(["man", "--directory", "/nonexistent/directory"]));
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(String::from_utf8(nowhere.stderr).unwrap().contains("could not write to \"/nonexistent/directory\""));
}

fn a_reader_who_has_enough_is_no_error() {
    let mut bash = shell("bash");
    let collector = program();
    bash.args(["-c", r#"set -o pipefail; "$1" completions bash | read -r line"#, "bash"]).arg(collector.get_program());
    stdout_of(&mut bash);
}
