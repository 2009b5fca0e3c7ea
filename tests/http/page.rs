//! The status page in a real browser.

use std::os::unix::fs::PermissionsExt;

use lab::{Cluster, Registration};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::http;
use crate::support::{Browser, Collector, Scene, Watcher, tests};

tests![;
    since 5:
    a_server_that_goes_away_turns_red_on_the_open_page_and_green_again_when_it_is_back,
    the_page_filters_and_sorts_and_fits_what_it_is_shown_on,
    names_and_errors_are_text_and_never_markup,
    a_page_that_is_not_told_any_more_says_so_and_finds_its_way_back,
    a_page_that_is_never_answered_gives_up_waiting,
    a_page_that_is_one_too_many_says_so_and_comes_in_later,
    a_page_whose_token_was_taken_back_says_so,
    rows_are_read_and_moved_as_little_as_can_be,
    a_page_of_a_collector_without_its_repository_says_why_there_is_nothing,
];

/// The row of a server, by its name.
fn row(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('#rows tr')].find((row) => row.querySelector('.title').textContent === '{name}')"
    )
}

fn word(name: &str) -> String {
    format!("{}.querySelector('.pill b').textContent", row(name))
}

/// Red, green and blue of the word.
fn colour(browser: &Browser, name: &str) -> Vec<f64> {
    let colour = browser.run(&format!("return getComputedStyle({}.querySelector('.pill')).color", row(name)));
    let colour = colour.as_str().unwrap().trim_start_matches("rgb(").trim_end_matches(')').to_owned();
    colour.split(',').map(|part| part.trim().parse().unwrap()).collect()
}

fn opened(watcher: &Watcher) -> Browser {
    Browser::at(&format!("http://{}/", watcher.address))
}

fn a_server_that_goes_away_turns_red_on_the_open_page_and_green_again_when_it_is_back(scene: &Scene) {
    let own = Cluster::start(scene.generation(), "own-remote").unwrap();
    own.create_powa_database("powa").unwrap();
    scene.register_as(Registration { alias: Some("away"), ..Registration::of(&own) });
    scene.register_as(Registration { alias: Some("there"), ..Registration::of(scene.remote_server()) });
    let collector = scene.collector_with(json!({"use_server_alias": true, "http": http(json!({}))}));
    let watcher = Watcher::of(&collector);
    let browser = opened(&watcher);
    browser.run("window.as_it_was = true");
    for name in ["away", "there"] {
        browser.wait_until(&format!("{} && {} === 'running'", row(name), word(name)));
        browser.wait_until(&format!("{}.querySelector('.last .value').textContent.endsWith(' s ago')", row(name)));
    }
    let summary = "document.getElementById('summary').textContent";
    assert_eq!(browser.run(&format!("return {summary}")), "2 servers: 2 running");
    let green = colour(&browser, "away");
    assert!(green[1] > green[0], "{green:?}");

    own.stop().unwrap();
    browser.wait_until(&format!("{} === 'failing'", word("away")));
    browser.wait_until(&format!("{summary} === '2 servers: 1 running, 1 failing'"));
    browser.wait_until(&format!("{}.querySelector('.error').textContent.includes('remote server')", row("away")));
    let red = colour(&browser, "away");
    assert!(red[0] > red[1], "{red:?}");
    assert_eq!(browser.run(&format!("return {}", word("there"))), "running");

    own.start_again().unwrap();
    browser.wait_until(&format!("{} === 'running'", word("away")));
    assert_eq!(colour(&browser, "away"), green);
    // A point comes every half a minute; what it is about is told to those who do not see it, too.
    for (chart, what) in [("took", "Took: "), ("last", "Age of the last snapshot: ")] {
        browser.wait_until(&format!("{}.querySelector('.{chart} .line').getAttribute('d')", row("there")));
        let output = browser.run(&format!("return {}.querySelector('.{chart} title').textContent", row("there")));
        assert!(output.as_str().is_some_and(|output| output.starts_with(what) && output.contains(" to ")), "{output}");
    }
    assert_eq!(browser.run("return window.as_it_was"), true, "the page was not loaded again");
    assert_eq!(browser.complaints(), [""; 0]);
    let asked =
        browser.run("return performance.getEntries().map((entry) => entry.name).filter((name) => name.includes(':'))");
    let asked: Vec<_> = asked.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    let own_origin = format!("http://{}/", watcher.address);
    assert!(asked.len() > 3 && asked.iter().all(|name| name.starts_with(&own_origin)), "{asked:?}");
}

/// The names of the servers that are shown, in their order.
fn shown(browser: &Browser) -> Vec<String> {
    let names =
        "return [...document.querySelectorAll('#rows tr:not([hidden]) .title')].map((title) => title.textContent)";
    browser.run(names).as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn the_page_filters_and_sorts_and_fits_what_it_is_shown_on(scene: &Scene) {
    for alias in ["zebra", "adder"] {
        scene.register_beside_others(Registration { alias: Some(alias), ..Registration::of(scene.remote_server()) });
    }
    let long = format!("mole.{}", "x".repeat(100));
    scene.register_as(Registration { alias: Some(&long), port: 1, ..Registration::of(scene.remote_server()) });
    let collector = scene.collector_with(json!({"use_server_alias": true, "http": http(json!({}))}));
    let browser = opened(&Watcher::of(&collector));
    browser.wait_until("document.querySelectorAll('tr[data-state=running]').length === 2");
    browser.wait_until("document.querySelectorAll('tr[data-state=failing]').length === 1");
    // The worst first.
    browser.wait_until("document.querySelector('#rows tr').dataset.state === 'failing'");
    let all = [long.as_str(), "adder", "zebra"];
    assert_eq!(shown(&browser), all);
    let sort = |key: &str| browser.run(&format!("document.querySelector('th[data-key={key}] button').click()"));
    let sorted = |key: &str| browser.run(&format!("return document.querySelector('th[data-key={key}]').ariaSort"));
    sort("name");
    assert_eq!(
        (shown(&browser), sorted("name")),
        (vec!["adder".into(), long.clone(), "zebra".into()], json!("ascending"))
    );
    sort("name");
    assert_eq!(
        (shown(&browser), sorted("name")),
        (vec!["zebra".into(), long.clone(), "adder".into()], json!("descending"))
    );
    assert_eq!(sorted("state"), Value::Null);

    let filter = |text: &str| {
        browser.run(&format!(
            "const box = document.getElementById('text'); box.value = '{text}'; \
                              box.dispatchEvent(new Event('input'))"
        ))
    };
    filter("EBR");
    assert_eq!(shown(&browser), ["zebra"]);
    filter("could not connect");
    assert_eq!(shown(&browser), [long.as_str()]);
    filter("nobody");
    assert_eq!(shown(&browser), [""; 0]);
    assert_eq!(browser.run("return document.getElementById('nothing').hidden"), false);
    filter("");
    let choose = |state: &str| browser.run(&format!("document.querySelector('.chip[data-state={state}]').click()"));
    choose("running");
    assert_eq!(shown(&browser), ["zebra", "adder"]);
    choose("running");
    assert_eq!(shown(&browser).len(), 3);

    // Whatever is shown, it is as wide as a phone.
    for (width, scheme) in [(375, "light"), (375, "dark"), (320, "light"), (1280, "dark")] {
        browser.size(width, 812);
        browser.prefer(scheme);
        let sizes = browser.run("return [document.documentElement.scrollWidth, innerWidth]");
        assert_eq!(sizes, json!([width, width]), "{scheme}");
    }
    let ground = || browser.run("return getComputedStyle(document.documentElement).backgroundColor");
    let dark = ground();
    browser.prefer("light");
    let light = ground();
    assert_eq!((dark, light.clone()), (json!("rgb(16, 20, 26)"), json!("rgb(244, 246, 249)")));
    // What the button says goes before what the system prefers, and is kept.
    browser.run("document.getElementById('theme').click(); document.getElementById('theme').click()");
    assert_eq!(ground(), "rgb(16, 20, 26)");
    browser.run("location.reload()");
    browser.wait_until("document.querySelectorAll('#rows tr').length === 3");
    assert_eq!(ground(), "rgb(16, 20, 26)");
    assert_eq!(browser.complaints(), [""; 0]);
}

fn names_and_errors_are_text_and_never_markup(scene: &Scene) {
    let name = "<img src=x onerror=window.taken=1>";
    scene.register_as(Registration { alias: Some(name), port: 1, ..Registration::of(scene.remote_server()) });
    let collector = scene.collector_with(json!({"use_server_alias": true, "http": http(json!({}))}));
    let browser = opened(&Watcher::of(&collector));
    browser.wait_until("document.querySelectorAll('tr[data-state=failing]').length === 1");
    assert_eq!(shown(&browser), [name]);
    assert_eq!(browser.run("return [window.taken === undefined, document.images.length]"), json!([true, 1]));
    assert_eq!(browser.complaints(), [""; 0]);
}

fn a_page_that_is_not_told_any_more_says_so_and_finds_its_way_back(scene: &Scene) {
    scene.register_as(Registration { alias: Some("there"), ..Registration::of(scene.remote_server()) });
    let (collector, watcher) = scene.watched();
    let browser = opened(&watcher);
    browser.wait_until("document.querySelectorAll('tr[data-state=running]').length === 1");
    assert_eq!(browser.run("return document.getElementById('banner').hidden"), true);
    collector.stop();
    browser.wait_until("document.body.classList.contains('stale')");
    let banner = browser.run("return document.getElementById('banner').textContent");
    assert!(banner.as_str().unwrap().starts_with("No data from the collector since "), "{banner}");
    assert_eq!(browser.run("return document.getElementById('live-word').textContent"), "reconnecting");
    let again = Collector::start(&scene.config(json!({"http": {"listen": watcher.address}})));
    browser.wait_until("!document.body.classList.contains('stale')");
    browser.wait_until("document.querySelectorAll('tr[data-state=running]').length === 1");
    assert_eq!(browser.run("return document.getElementById('banner').hidden"), true);
    again.stop();
}

fn banner(browser: &Browser) -> String {
    browser.run("return document.getElementById('banner').textContent").as_str().unwrap().into()
}

fn a_page_that_is_never_answered_gives_up_waiting(scene: &Scene) {
    let (collector, watcher) = scene.watched();
    let browser = opened(&watcher);
    browser.wait_until("document.getElementById('live').dataset.live === 'yes'");
    let counting = "window.signals = []; const as_ever = window.fetch; \
                    window.fetch = (url, how) => { signals.push(how.signal); return as_ever(url, how); }";
    browser.run(counting);
    // Its connections stay, and new ones are taken by the kernel; but nobody says a word.
    collector.signal(Signal::STOP);
    browser.wait_until("document.body.classList.contains('stale')");
    browser.wait_until("signals.length > 0 && signals[0].aborted");
    assert!(banner(&browser).starts_with("No data from the collector since "), "{}", banner(&browser));
    collector.signal(Signal::CONT);
    browser.wait_until("!document.body.classList.contains('stale')");
}

fn a_page_that_is_one_too_many_says_so_and_comes_in_later(scene: &Scene) {
    let (_collector, watcher) = scene.watched();
    let mut pages: Vec<_> = (0..16).map(|_| watcher.open_events()).collect();
    for page in &mut pages {
        page.next("everything");
    }
    let browser = opened(&watcher);
    browser.wait_until("document.getElementById('live-word').textContent === 'refused'");
    assert_eq!(banner(&browser), "Too many status pages are open; close another one.");
    pages.pop();
    browser.wait_until("document.getElementById('live').dataset.live === 'yes'");
    assert_eq!(banner(&browser), "");
}

fn a_page_whose_token_was_taken_back_says_so(scene: &Scene) {
    let tokens = scene.directory().join("tokens");
    let write = |line: &str| {
        std::fs::write(&tokens, line).unwrap();
        std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("ada:0123456789abcdef\n");
    let (_collector, watcher) = scene.watched_with(json!({"tokens_file": tokens}));
    let browser = Browser::at(&format!("http://ada:0123456789abcdef@{}/", watcher.address));
    browser.wait_until("document.getElementById('live').dataset.live === 'yes'");
    write("bob:fedcba9876543210\n");
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    browser.wait_until("document.getElementById('live-word').textContent === 'refused'");
    let banner = banner(&browser);
    let expected = "Your token is no longer valid; reload the page. The data shown is from ";
    assert!(banner.starts_with(expected), "{banner}");
}

/// What a script gives that knows what the page's own know.
fn run_inside(browser: &Browser, script: &str) -> Value {
    browser.run(&format!(
        "const modules = ['fleet.js', 'order.js'].map((name) => import(new URL(name, location.href))); \
         return Promise.all(modules).then(([{{ rows }}, {{ INTERACTION_PAUSE, arrange, interaction }}]) => {{ {script} }});"
    ))
}

fn rows_are_read_and_moved_as_little_as_can_be(scene: &Scene) {
    for alias in ["adder", "mole"] {
        scene.register_beside_others(Registration { alias: Some(alias), ..Registration::of(scene.remote_server()) });
    }
    scene.register_as(Registration { alias: Some("zebra"), port: 1, ..Registration::of(scene.remote_server()) });
    let collector = scene.collector_with(json!({"use_server_alias": true, "http": http(json!({}))}));
    let browser = opened(&Watcher::of(&collector));
    browser.size(375, 60);
    browser.run("location.reload()");
    browser.wait_until("document.querySelectorAll('tr[data-state=failing]').length === 1");
    browser.wait_until("document.querySelectorAll('tr[data-state=running]').length === 2");
    browser.run("document.querySelector('th[data-key=name] button').click()");
    assert_eq!(shown(&browser), ["adder", "mole", "zebra"]);
    // What is far below is there all the same, as it is read aloud and looked for.
    assert_eq!(browser.run(&format!("return {}.getBoundingClientRect().top > innerHeight + 200", row("zebra"))), true);
    let error = browser.run(&format!("return {}.querySelector('.error').textContent", row("zebra")));
    assert!(error.as_str().unwrap().contains("could not connect"), "{error}");
    let ages = browser.run("return [...document.querySelectorAll('#rows .last .value')].map((age) => age.textContent)");
    assert!(ages.as_array().unwrap().iter().all(|age| age != ""), "{ages}");

    // The first one goes to the end: nothing else is moved. The names are those of this moment only.
    let renamed = |then: &str| {
        format!(
            "const row = [...rows.values()].find((row) => row.server.name === 'adder'), as_it_was = row.server; \
             row.server = {{ ...as_it_was, name: 'zzz' }}; \
             try {{ {then} }} finally {{ row.server = as_it_was; }}"
        )
    };
    let names = "[...document.querySelectorAll('#rows .title')].map((title) => title.textContent)";
    let moved = format!(
        "const watch = new MutationObserver(() => {{}}); \
         watch.observe(document.getElementById('rows'), {{ childList: true }}); arrange(); \
         return [watch.takeRecords().flatMap((record) => [...record.addedNodes]).length, {names}];"
    );
    assert_eq!(run_inside(&browser, &renamed(&moved)), json!([1, ["mole", "zebra", "adder"]]));
    run_inside(&browser, "arrange()");
    assert_eq!(shown(&browser), ["adder", "mole", "zebra"]);

    // Who is at work in there finds all of it in its place for a moment, and the focus after it.
    let at_work = format!(
        "const button = {}.querySelector('.error button'); button.textContent ||= 'x'; button.focus(); arrange(); \
         const before = {names}; interaction.last -= INTERACTION_PAUSE; arrange(); \
         return [before, {names}, document.activeElement === button, performance.now() - interaction.last > INTERACTION_PAUSE];",
        row("adder")
    );
    let expected = json!([["adder", "mole", "zebra"], ["mole", "zebra", "adder"], true, true]);
    assert_eq!(run_inside(&browser, &renamed(&at_work)), expected);
    assert_eq!(browser.complaints(), [""; 0]);
}

fn a_page_of_a_collector_without_its_repository_says_why_there_is_nothing(scene: &Scene) {
    let scene = scene.apart(&[]);
    scene.register();
    scene.repository_server().stop().unwrap();
    let collector = Collector::start(&scene.config(json!({"http": http(json!({}))})));
    let browser = opened(&Watcher::of(&collector));
    browser.wait_until("document.getElementById('banner').textContent.includes('Connection refused')");
    browser.wait_until("document.getElementById('summary').textContent === 'The servers are not known yet.'");
    browser.wait_until("document.getElementById('nothing').textContent.includes('has not connected')");
    scene.repository_server().start_again().unwrap();
    browser.wait_until("document.getElementById('summary').textContent.startsWith('1 server: ')");
    browser.wait_until("document.getElementById('banner').hidden");
    assert_eq!(browser.complaints(), [""; 0]);
}
