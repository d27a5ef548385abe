//! The rules of the architecture that a compiler does not check: who may depend on whom, what the
//! sans-IO crates must not touch, what an error code means, how large a file may grow, and what the
//! documents must name.
//!
//! ARCHITECTURE.md states the same rules in prose. A rule that has to change is changed there and
//! here, with its reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// A file with more lines than this holds more than one concept.
const FILE_LINES_MAX: usize = 900;

/// A crate and the crates of this workspace that it may depend on, with the reason.
struct Allowed {
    package: &'static str,
    on: &'static [&'static str],
    why: &'static str,
}

const ALLOWED: &[Allowed] = &[
    Allowed {
        package: "conclave-types",
        on: &[],
        why: "the shared words stand on nothing",
    },
    Allowed {
        package: "conclave-crypto",
        on: &["conclave-types"],
        why: "signatures, committees and Merkle trees over the shared words",
    },
    Allowed {
        package: "conclave-seal",
        on: &["conclave-types", "conclave-crypto"],
        why: "sealing knows envelopes and keys, not how they are ordered",
    },
    Allowed {
        package: "conclave-light",
        on: &["conclave-types", "conclave-crypto", "conclave-seal"],
        why: "verifying needs certificates and openings and no state",
    },
    Allowed {
        package: "conclave-consensus",
        on: &["conclave-types", "conclave-crypto", "conclave-light"],
        why: "agreement knows nothing of contents, rollups or markets",
    },
    Allowed {
        package: "conclave-market",
        on: &["conclave-types"],
        why: "the market is pure functions; the ledger holds its state",
    },
    Allowed {
        package: "conclave-ledger",
        on: &[
            "conclave-types",
            "conclave-crypto",
            "conclave-seal",
            "conclave-light",
            "conclave-market",
        ],
        why: "what ordered contents mean does not depend on how they were ordered; evidence against validators is judged as light clients judge it, and messages of a key generation as its members judge them",
    },
    Allowed {
        package: "conclave-sequencer",
        on: &[
            "conclave-types",
            "conclave-crypto",
            "conclave-seal",
            "conclave-market",
            "conclave-ledger",
        ],
        why: "the way of an envelope, without agreement, which is its peer and not its part",
    },
    Allowed {
        package: "conclave-sdk",
        on: &[
            "conclave-types",
            "conclave-crypto",
            "conclave-seal",
            "conclave-light",
        ],
        why: "what rollups and provers build on must not pull in a validator",
    },
    Allowed {
        package: "conclave-node",
        on: &[
            "conclave-types",
            "conclave-crypto",
            "conclave-seal",
            "conclave-light",
            "conclave-consensus",
            "conclave-market",
            "conclave-ledger",
            "conclave-sequencer",
            "conclave-sdk",
        ],
        why: "the IO shell joins both cores; of the SDK it serves the JSON shapes; programs are injected",
    },
    Allowed {
        package: "conclave-payments",
        on: &["conclave-types", "conclave-crypto", "conclave-sdk"],
        why: "a program is a library that neither ledger nor node knows by name",
    },
    Allowed {
        package: "conclave-payments-node",
        on: &[
            "conclave-types",
            "conclave-crypto",
            "conclave-sdk",
            "conclave-payments",
        ],
        why: "a rollup's node is a client of the chain",
    },
    Allowed {
        package: "conclave-prover",
        on: &[
            "conclave-types",
            "conclave-crypto",
            "conclave-sdk",
            "conclave-payments",
            "conclave-market",
        ],
        why: "a prover is a client of the chain; it judges bids by the market's own functions",
    },
    Allowed {
        package: "conclave-tests",
        on: &[
            "conclave-types",
            "conclave-crypto",
            "conclave-seal",
            "conclave-light",
            "conclave-consensus",
            "conclave-market",
            "conclave-ledger",
            "conclave-sequencer",
            "conclave-node",
            "conclave-sdk",
            "conclave-payments",
            "conclave-payments-node",
            "conclave-prover",
        ],
        why: "the simulator runs everything, and nothing but the command line runs it",
    },
    Allowed {
        package: "conclave-fuzz",
        on: &[
            "conclave-types",
            "conclave-crypto",
            "conclave-seal",
            "conclave-light",
            "conclave-consensus",
            "conclave-market",
            "conclave-ledger",
            "conclave-sequencer",
            "conclave-node",
            "conclave-sdk",
            "conclave-payments",
            "conclave-payments-node",
        ],
        why: "the fuzz targets take whatever takes hostile bytes, and nothing depends on them",
    },
    Allowed {
        package: "conclave",
        on: &[
            "conclave-types",
            "conclave-crypto",
            "conclave-seal",
            "conclave-light",
            "conclave-consensus",
            "conclave-market",
            "conclave-ledger",
            "conclave-sequencer",
            "conclave-node",
            "conclave-sdk",
            "conclave-payments",
            "conclave-payments-node",
            "conclave-prover",
            "conclave-tests",
        ],
        why: "the command line puts everything together",
    },
];

/// Dependencies of tests alone, beyond those allowed anyway.
const ALLOWED_IN_TESTS: &[(&str, &str)] = &[
    // Its tests play the committee that opens envelopes.
    ("conclave-payments-node", "conclave-seal"),
    // Its tests verify what the real ledger made of a real chain.
    ("conclave-sdk", "conclave-ledger"),
    ("conclave-sdk", "conclave-market"),
];

/// Crates whose results are functions of their arguments.
const SANS_IO: &[&str] = &[
    "consensus/types",
    "consensus/crypto",
    "consensus/seal",
    "consensus/light",
    "consensus/core",
    "prover-pool/market",
    "sequencer/ledger",
    "sequencer/core",
];

/// Clocks, files, networks, randomness, threads and locks.
const FORBIDDEN: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "tokio",
    "thread_rng",
    "OsRng",
    "Mutex",
    "RwLock",
];

/// A file, what it may use, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "consensus/crypto/src/key_file.rs",
        "std::fs",
        "one module reads and writes key files, for the command line; nothing in the crate calls it",
    ),
    (
        "consensus/seal/src/scheme.rs",
        "Mutex",
        "weights of batch checks come from a generator that no verdict depends on",
    ),
];

#[test]
fn dependencies_point_the_allowed_ways() {
    let mut wrong = String::new();
    for (directory, manifest) in manifests() {
        let package = name_of(&manifest);
        let Some(allowed) = ALLOWED.iter().find(|allowed| allowed.package == package) else {
            let _ = writeln!(wrong, "{package} in {directory} has no entry in ALLOWED");
            continue;
        };
        for (table, tests) in [
            ("dependencies", false),
            ("build-dependencies", false),
            ("dev-dependencies", true),
        ] {
            for on in own_dependencies(&manifest, table) {
                let extra = tests && ALLOWED_IN_TESTS.contains(&(package.as_str(), on.as_str()));
                if !allowed.on.contains(&on.as_str()) && !extra {
                    let why = allowed.why;
                    let _ = writeln!(wrong, "{package} must not depend on {on}: {why}");
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_allowed_ways_form_no_circle() {
    let mut known: Vec<&str> = Vec::new();
    for allowed in ALLOWED {
        for on in allowed.on {
            assert!(known.contains(on), "{} comes before {on}", allowed.package);
        }
        known.push(allowed.package);
    }
}

#[test]
fn sans_io_crates_touch_no_clock_file_network_randomness_thread_or_lock() {
    let mut wrong = String::new();
    let mut used = vec![false; EXCEPTIONS.len()];
    for directory in SANS_IO {
        for file in rust_files(&root().join(directory).join("src")) {
            let path = relative(&file);
            if is_test_file(&path) {
                continue;
            }
            for (number, line) in product_lines(&read(&file)) {
                for forbidden in FORBIDDEN.iter().filter(|word| line.contains(**word)) {
                    let exception = EXCEPTIONS
                        .iter()
                        .position(|(file, word, _)| *file == path && word == forbidden);
                    match exception {
                        Some(index) => used[index] = true,
                        None => {
                            let _ = writeln!(wrong, "{path}:{number} uses {forbidden}");
                        }
                    }
                }
            }
        }
    }
    for ((file, word, _), used) in EXCEPTIONS.iter().zip(used) {
        if !used {
            let _ = writeln!(
                wrong,
                "{file} does not use {word} any more: remove the exception"
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The problem that a code names is the text up to the remedy, without the values in it; the remedy
/// may differ from place to place.
#[test]
fn an_error_code_has_one_meaning() {
    let mut meanings: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for file in all_rust_files() {
        let path = relative(&file);
        if is_test_file(&path) {
            continue;
        }
        for (code, text) in coded_texts(&read(&file)) {
            let problem = problem(&text);
            meanings
                .entry(code)
                .or_default()
                .entry(problem)
                .or_insert_with(|| path.clone());
        }
    }
    assert!(meanings.len() > 100, "only {} codes found", meanings.len());
    let ambiguous: BTreeMap<_, _> = meanings
        .into_iter()
        .filter(|(_, texts)| texts.len() > 1)
        .collect();
    assert!(
        ambiguous.is_empty(),
        "codes with two meanings: {ambiguous:#?}"
    );
}

#[test]
fn every_crate_root_says_what_the_crate_is() {
    for (directory, manifest) in manifests() {
        let source = root().join(&directory).join("src");
        let roots = ["lib.rs", "main.rs"].map(|name| source.join(name));
        for file in roots.iter().filter(|file| file.exists()) {
            let text = read(file);
            let first = text.lines().next().unwrap_or_default();
            assert!(
                first.starts_with("//! ") && first.len() > 20,
                "{} of {} does not open with a sentence about the crate",
                relative(file),
                name_of(&manifest)
            );
        }
    }
}

#[test]
fn no_file_outgrows_its_concept() {
    let sizes = all_rust_files()
        .into_iter()
        .map(|file| (read(&file).lines().count(), file));
    let large: Vec<String> = sizes
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .map(|(lines, file)| format!("{} has {lines} lines", relative(&file)))
        .collect();
    assert!(
        large.is_empty(),
        "at most {FILE_LINES_MAX} lines: {large:?}"
    );
}

#[test]
fn every_dependency_is_argued_for() {
    let page = read(&root().join("docs/dependencies.md"));
    let mut missing = Vec::new();
    for (directory, manifest) in manifests() {
        for table in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let names = manifest.get(table).and_then(toml::Value::as_table);
            for name in names.into_iter().flat_map(toml::Table::keys) {
                if !name.starts_with("conclave") && !page.contains(&format!("`{name}`")) {
                    missing.push(format!("{name} of {directory}"));
                }
            }
        }
    }
    assert!(
        missing.is_empty(),
        "not in docs/dependencies.md: {missing:?}"
    );
}

/// What lets a validator be run that lies is behind one feature of the node, which only a feature of
/// the root package turns on, which nothing turns on by default.
#[test]
fn a_build_for_use_has_no_place_for_a_lie() {
    let (feature, switch) = ("conduct", "conclave-node/conduct");
    let (mut declared, mut switches) = (0, Vec::new());
    for (directory, manifest) in manifests() {
        let features = manifest.get("features").and_then(toml::Value::as_table);
        for (name, value) in features.into_iter().flatten() {
            declared += usize::from(directory == "sequencer/node" && name == feature);
            let enables = value.as_array().expect("a list of features");
            if enables.iter().any(|one| one.as_str() == Some(switch)) {
                switches.push(format!("{directory}: {name}"));
            }
            assert_ne!(name, "default", "{directory} has features by default");
        }
        let workspace = manifest.get("workspace").and_then(toml::Value::as_table);
        for table in [Some(&manifest), workspace].into_iter().flatten() {
            for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
                let node = table.get(kind).and_then(|table| table.get("conclave-node"));
                let features = node.and_then(|node| node.get("features"));
                assert_eq!(features, None, "{directory} turns features of the node on");
            }
        }
    }
    assert_eq!(declared, 1);
    assert_eq!(switches, [".: byzantine"]);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut dead = String::new();
    let mut documents = Vec::new();
    collect(&root().join("docs"), "md", &mut documents);
    for entry in entries(&root()) {
        if entry.extension().is_some_and(|extension| extension == "md") {
            documents.push(entry);
        }
    }
    for document in &documents {
        for target in links(&read(document)) {
            let file = target.split('#').next().unwrap_or_default();
            let directory = document.parent().unwrap_or(document);
            if !file.is_empty() && !target.contains("://") && !directory.join(file).exists() {
                let _ = writeln!(dead, "{}: {target}", relative(document));
            }
        }
    }
    assert!(documents.len() > 5, "no documents found");
    assert!(dead.is_empty(), "{dead}");
}

// ---- reading the workspace ----------------------------------------------------------------------

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every package's directory, relative to the root, and its manifest.
fn manifests() -> Vec<(String, toml::Table)> {
    let workspace = manifest(".");
    let members = workspace["workspace"]["members"]
        .as_array()
        .expect("a list of members");
    let directories = members
        .iter()
        .map(|member| member.as_str().expect("a path"));
    ["."]
        .into_iter()
        .chain(directories)
        .map(|path| (path.to_owned(), manifest(path)))
        .collect()
}

fn manifest(directory: &str) -> toml::Table {
    let path = root().join(directory).join("Cargo.toml");
    toml::from_str(&read(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn name_of(manifest: &toml::Table) -> String {
    manifest["package"]["name"]
        .as_str()
        .expect("a name")
        .to_owned()
}

/// The dependencies of one kind that are crates of this workspace.
fn own_dependencies(manifest: &toml::Table, table: &str) -> Vec<String> {
    let names = manifest.get(table).and_then(toml::Value::as_table);
    let names = names.into_iter().flat_map(toml::Table::keys);
    names
        .filter(|name| name.starts_with("conclave"))
        .cloned()
        .collect()
}

fn all_rust_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (directory, _) in manifests() {
        for part in ["src", "tests", "examples", "benches"] {
            // The root's `tests` directory holds a package of its own beside the root's tests.
            files.extend(rust_files(&root().join(&directory).join(part)));
        }
    }
    files.sort();
    files.dedup();
    files
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(directory, "rs", &mut files);
    files.sort();
    files
}

fn collect(directory: &Path, wanted: &str, files: &mut Vec<PathBuf>) {
    for path in entries(directory) {
        if path.is_dir() {
            collect(&path, wanted, files);
        } else if path
            .extension()
            .is_some_and(|extension| extension == wanted)
        {
            files.push(path.components().collect());
        }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.expect("a readable directory").path())
        .collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}

fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.contains("/examples/")
        || path.ends_with("/tests.rs")
}

/// Numbered lines that are no comments, up to the unit tests at a file's end.
fn product_lines(text: &str) -> Vec<(usize, &str)> {
    let mut lines = Vec::new();
    let mut rest = text.lines().enumerate().peekable();
    while let Some((index, line)) = rest.next() {
        let inline_tests = rest
            .peek()
            .is_some_and(|(_, next)| next.trim() == "mod tests {");
        if line.trim() == "#[cfg(test)]" && inline_tests {
            break;
        }
        if !line.trim_start().starts_with("//") {
            lines.push((index + 1, line));
        }
    }
    lines
}

/// Every `[CV-…-NNN] text` inside a string, with the text joined over continued lines.
fn coded_texts(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in source.split("[CV-").skip(1) {
        let Some((code, rest)) = part.split_once("] ") else {
            continue;
        };
        let (area, number) = code.rsplit_once('-').unwrap_or((code, ""));
        let is_code = !area.is_empty()
            && area.bytes().all(|byte| byte.is_ascii_uppercase())
            && number.len() == 3
            && number.bytes().all(|byte| byte.is_ascii_digit());
        let Some((text, _)) = rest.split_once('"') else {
            continue;
        };
        // A backslash at a line's end joins it to the next one's first word.
        let lines = text.split('\\').map(str::trim_start);
        let text = lines.collect::<Vec<_>>().join("");
        if is_code {
            found.push((format!("CV-{code}"), text));
        }
    }
    found
}

/// What a coded text says was wrong: up to the remedy, without values and the cause.
fn problem(text: &str) -> String {
    let mut problem = String::new();
    let mut depth = 0_usize;
    for letter in text.split(';').next().unwrap_or_default().chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 => problem.push(letter),
            _ => {}
        }
    }
    let words: Vec<&str> = problem
        .split_whitespace()
        .filter(|word| *word != ":")
        .collect();
    words.join(" ").trim_end_matches(':').to_owned()
}

/// The targets of a Markdown text's links, outside code blocks.
fn links(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for part in line.split("](").skip(1) {
            if let Some((target, _)) = part.split_once(')') {
                targets.push(target.to_owned());
            }
        }
    }
    targets
}
