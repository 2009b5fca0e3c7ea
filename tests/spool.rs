//! The spool needs little memory and a directory; without the directory, snapshots fail and nothing else does.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use lab::Registration;
use serde_json::json;

use crate::support::{Collector, Scene, Statements, program, tests, wait_until};

tests![
    a_missing_folder_is_one_error_that_heals,
    a_file_in_place_of_the_folder_is_one_error_that_heals,
    a_folder_that_may_not_be_written_to_is_one_error_that_heals,
    a_full_disk_is_one_error_that_heals,
    a_snapshot_beyond_the_limit_is_one_error_that_heals,
    a_large_datasource_is_collected_and_loaded_in_little_memory,
];

/// A command with the arguments for a collector whose snapshots all go to a directory.
fn spooling_to(scene: &Scene, directory: &Path, through: &[&str]) -> Command {
    let config = scene.config(json!({"spool": {"memory": 0, "directory": directory.to_str().unwrap()}}));
    let collector = program();
    let mut command = Command::new(through.first().map_or(collector.get_program(), |first| first.as_ref()));
    if let [_, arguments @ ..] = through {
        command.args(arguments).arg(collector.get_program());
    }
    for (name, _) in collector.get_envs() {
        command.env_remove(name);
    }
    command.arg("-c").arg(config);
    command
}

fn fails_until_mended(scene: &Scene, collector: &Collector, directory: &Path, reason: &str, mend: impl FnOnce()) {
    scene.wait_until_listening(collector);
    // It makes some ten datasources, or forty with those of its databases.
    let server = scene.register();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    let error = scene.wait_for_error(server, "could not spool the collected rows (collector)");
    for part in [directory.to_str().unwrap(), reason, "spool.directory"] {
        assert!(error.contains(part), "{part} is missing in: {error}");
    }
    assert_eq!(scene.errors(server), [error]);
    assert_eq!(scene.snapshots(server), 0);
    scene.wait_for_status(server, "running");
    mend();
    scene.wait_for_snapshots(server, 1);
    wait_until("the error to be gone", || scene.errors(server).is_empty());
    assert_eq!(collector.logged("could not spool the collected rows").len(), 1, "once, not at every try");
    let statements = format!("select count(*) from powa_statements where srvid = {server}");
    assert!(scene.count(&statements) > 0);
    collector.stop();
}

fn a_missing_folder_is_one_error_that_heals(scene: &Scene) {
    let directory = scene.directory().join("spool");
    let collector = Collector::run(spooling_to(scene, &directory, &[]));
    fails_until_mended(scene, &collector, &directory, "No such file or directory", || {
        std::fs::create_dir(&directory).unwrap();
    });
}

fn a_file_in_place_of_the_folder_is_one_error_that_heals(scene: &Scene) {
    let directory = scene.directory().join("spool");
    std::fs::write(&directory, "not a directory").unwrap();
    let collector = Collector::run(spooling_to(scene, &directory, &[]));
    fails_until_mended(scene, &collector, &directory, "Not a directory", || {
        std::fs::remove_file(&directory).unwrap();
        std::fs::create_dir(&directory).unwrap();
    });
}

fn a_folder_that_may_not_be_written_to_is_one_error_that_heals(scene: &Scene) {
    let directory = scene.directory().join("spool");
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, Permissions::from_mode(0o555)).unwrap();
    // What root may because it is root, this one may not.
    let modest = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    let through = if rustix::process::geteuid().is_root() { &modest[..] } else { &[] };
    let collector = Collector::run(spooling_to(scene, &directory, through));
    fails_until_mended(scene, &collector, &directory, "Permission denied", || {
        std::fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    });
}

fn a_full_disk_is_one_error_that_heals(scene: &Scene) {
    let directory = scene.directory().join("spool");
    std::fs::create_dir(&directory).unwrap();
    // A disk of its own, of 16 MB, and nearly full.
    let with_disk = format!(
        "mount -t tmpfs -o size=16m tmpfs '{0}' && head -c 16760832 /dev/zero > '{0}/filler' && exec \"$@\"",
        directory.display()
    );
    let user: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let through = [&["unshare", "--mount"], user, &["sh", "-c", &with_disk, "sh"]].concat();
    let collector = Collector::run(spooling_to(scene, &directory, &through));
    let pid = collector.pid();
    fails_until_mended(scene, &collector, &directory, "No space left on device", || {
        // The next try may have begun.
        wait_until("what was written to be given back", || {
            let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
            let mut names = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
            !names.any(|name| name.starts_with(&directory))
        });
        std::fs::remove_file(format!("/proc/{pid}/root{}/filler", directory.display())).unwrap();
    });
}

fn a_snapshot_beyond_the_limit_is_one_error_that_heals(scene: &Scene) {
    let remote = scene.own_remote();
    let mut statements = Statements::of(remote.connect());
    statements.say_much(300, 100);
    let verbose = scene.register_as(Registration { extensions: &[], ..remote.registration() });
    let brief = scene.register_as(Registration { hostname: "localhost", ..Registration::of(scene.remote_server()) });
    let collector = scene.collector_with(json!({"spool": {"limit": 16}}));
    let error = scene.wait_for_error(verbose, "could not spool the collected rows (collector)");
    assert!(error.contains("larger than spool.limit (16 MB)"), "{error}");
    scene.wait_for_status(verbose, "running");
    let before = scene.snapshots(brief);
    scene.wait_for_snapshots(brief, before + 2);
    assert_eq!(scene.snapshots(verbose), 0);
    statements.say_nothing();
    scene.wait_for_snapshots(verbose, 1);
    wait_until("the error to be gone", || scene.errors(verbose).is_empty());
    assert_eq!(collector.logged("could not spool the collected rows").len(), 1, "once, not at every try");
}

fn a_large_datasource_is_collected_and_loaded_in_little_memory(scene: &Scene) {
    let remote = scene.own_remote();
    let mut statements = Statements::of(remote.connect());
    let server = scene.register_as(Registration { extensions: &[], ..remote.registration() });
    let collector = scene.verbose_collector(json!({}));
    scene.wait_for_snapshots(server, 1);
    let before = collector.peak_memory();
    statements.say_much(600, 100);
    let arrived = format!("select count(*) from powa_statements where srvid = {server} and length(query) = 102400");
    wait_until("60 MB to arrive", || scene.count(&arrived) == 600);
    assert_eq!(scene.errors(server), [""; 0]);
    let more = collector.peak_memory() - before;
    assert!(more < 8 * 1024, "{more} kB more than {before} kB");
}
