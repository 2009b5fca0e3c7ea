//! Runs a program on a terminal of its own, and types.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::collector::bounded;
use super::wait_for;

pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts a program on a terminal with so many columns.
    pub(crate) fn run(program: &Command, columns: u16) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        tcsetwinsize(&controller, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
        // Nobody else's: only who asks for it has it as the controlling one.
        let user = File::options().read(true).write(true).open(name).unwrap();
        let mut command = bounded(program, "setsid", &["--ctty", "timeout", "--foreground", "60"]);
        let ends = [user.try_clone().unwrap(), user.try_clone().unwrap(), user];
        let [input, output, error] = ends;
        let child = command.env("TERM", "xterm").stdin(input).stdout(output).stderr(error).spawn().unwrap();
        // With it, our own ends are closed: there is an end to read then.
        drop(command);
        let keyboard = File::from(controller);
        let screen = Arc::<Mutex<String>>::default();
        let (mut showing, shown) = (keyboard.try_clone().unwrap(), Arc::clone(&screen));
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It is an error that nobody is at the other end any more.
            while let Ok(length @ 1..) = showing.read(&mut bytes) {
                shown.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        Self { child, keyboard, screen, reader: Some(reader) }
    }

    /// Waits for a question, and answers it.
    pub(crate) fn answer(&mut self, question: &str, answer: &str) {
        self.wait_to_show(question);
        self.press(&format!("{answer}\n"));
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn wait_to_show(&mut self, text: &str) {
        wait_for(&format!("{text:?} to be shown"), || {
            let is_there = self.screen().contains(text);
            assert!(is_there || self.child.try_wait().unwrap().is_none(), "it has ended:\n{}", self.screen());
            is_there.then_some(())
        });
    }

    pub(crate) fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    /// Waits for the end, and gives all that was shown.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let status = wait_for("the program's end", || self.child.try_wait().unwrap());
        self.reader.take().unwrap().join().unwrap();
        (status, self.screen())
    }
}
