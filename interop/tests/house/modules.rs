//! The allowed dependencies between the modules of a crate.
//!
//! The rule: the submodules of a module, each together with everything below it, form no cycle. A
//! module uses another one when it names an item that is defined there, in an import, a type, an
//! expression or a macro call. Only the place of the definition counts: a name that a parent
//! re-exports belongs to the module that defines it.
//!
//! A module and its submodules may use each other, because a submodule is a part of its parent. An
//! item that two submodules need is therefore in their parent's file or in a third submodule.
//! Declarations of modules, re-exports (`pub use`, `pub(crate) use`), calls of methods, and tests
//! are not counted.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::{Item, UseTree, Visibility, visit::Visit};

use super::{
    source::{Crate, ModulePath, is_for_tests},
    tidy::root,
};

/// Crates whose modules still form cycles. Entries are removed with the cycles, and none is added.
const NOT_YET: [&str; 0] = [];

#[test]
fn the_modules_of_a_crate_form_no_cycle() {
    let mut found = BTreeMap::new();
    for dir in crates() {
        let read = Crate::read(&dir);
        let cycles = cycles(&uses(&read));
        if !cycles.is_empty() {
            found.insert(read.name, cycles.join("\n"));
        }
    }
    for name in NOT_YET {
        assert!(
            found.remove(name).is_some(),
            "{name} has no cycle any more: remove it from NOT_YET"
        );
    }
    let found: Vec<_> = found
        .iter()
        .map(|(name, cycles)| format!("{name}\n{cycles}"))
        .collect();
    assert!(
        found.is_empty(),
        "modules that use each other:\n{}",
        found.join("\n")
    );
}

/// Returns the directories of the crates to which the rule applies.
fn crates() -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("crates")).expect("there are crates") {
        found.push(entry.expect("can be read").path());
    }
    found.push(root().join("testbed"));
    found.retain(|dir| dir.join("Cargo.toml").exists());
    found.sort();
    assert!(found.len() > 10, "{found:?}");
    found
}

/// The modules that each module uses, with the names that it uses there.
type Uses = BTreeMap<ModulePath, BTreeMap<ModulePath, BTreeSet<String>>>;

fn uses(read: &Crate) -> Uses {
    let index = Index::new(read);
    let mut uses = Uses::new();
    for (path, module) in &read.modules {
        let mut found = Paths::default();
        for item in &module.items {
            found.visit_item(item);
        }
        let used = uses.entry(path.clone()).or_default();
        for named in found.paths {
            if let Some((target, name)) = index.resolve(path, &named)
                && target != *path
            {
                used.entry(target).or_default().insert(name);
            }
        }
    }
    uses
}

/// The definitions of the names in each module.
struct Index<'a> {
    read: &'a Crate,
    /// The imported names of each module, re-exported or not, and the paths that they refer to.
    imports: BTreeMap<&'a ModulePath, BTreeMap<String, Vec<String>>>,
}

impl<'a> Index<'a> {
    fn new(read: &'a Crate) -> Self {
        let imports = read.modules.iter().map(|(path, module)| {
            let mut names = BTreeMap::new();
            for item in &module.items {
                if let Item::Use(item) = item {
                    flatten(&item.tree, &mut Vec::new(), &mut |full, alias| {
                        names.insert(alias, full);
                    });
                }
            }
            (path, names)
        });
        Self {
            read,
            imports: imports.collect(),
        }
    }

    /// Returns the module that defines `named` as seen from the module `from`, and the name there.
    /// Returns `None` for items of other crates.
    fn resolve(&self, from: &ModulePath, named: &[String]) -> Option<(ModulePath, String)> {
        let absolute = self.absolute(from, named)?;
        self.definition(&absolute, 0)
    }

    /// Returns the path from the root of the crate, or `None` if it is not in this crate.
    fn absolute(&self, from: &ModulePath, named: &[String]) -> Option<Vec<String>> {
        let (first, mut rest) = named.split_first()?;
        let mut base = match first.as_str() {
            "crate" => Vec::new(),
            "self" => from.clone(),
            "super" => from[..from.len().checked_sub(1)?].to_vec(),
            _ => {
                let mut child = from.clone();
                child.push(first.clone());
                if !self.read.modules.contains_key(&child) {
                    return None;
                }
                child
            }
        };
        while let Some((first, more)) = rest.split_first()
            && first == "super"
        {
            base.pop()?;
            rest = more;
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// Follows re-exports to the module that defines the item at the absolute path.
    fn definition(&self, absolute: &[String], depth: usize) -> Option<(ModulePath, String)> {
        let length = (0..=absolute.len())
            .rev()
            .find(|length| self.read.modules.contains_key(&absolute[..*length]))?;
        let module = absolute[..length].to_vec();
        let Some(name) = absolute.get(length) else {
            // The path names the module itself, not an item of it.
            return Some((module, "self".to_owned()));
        };
        // No valid chain of re-exports is as long as this. A longer one is a cycle.
        if depth < 16
            && let Some(imported) = self.imports[&module].get(name)
            && let Some(mut further) = self.absolute(&module, imported)
        {
            further.extend_from_slice(&absolute[length + 1..]);
            return self.definition(&further, depth + 1);
        }
        Some((module, name.clone()))
    }
}

/// The paths that items name.
#[derive(Default)]
struct Paths {
    paths: BTreeSet<Vec<String>>,
}

impl Visit<'_> for Paths {
    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        // A re-export does not use the item that it names.
        if matches!(item.vis, Visibility::Inherited) {
            flatten(&item.tree, &mut Vec::new(), &mut |full, _| {
                self.paths.insert(full);
            });
        }
    }

    fn visit_item(&mut self, item: &Item) {
        if !is_for_tests(super::source::attributes(item)) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_visibility(&mut self, _: &Visibility) {}

    fn visit_path(&mut self, path: &syn::Path) {
        let names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        self.paths.insert(names.collect());
        syn::visit::visit_path(self, path);
    }

    fn visit_attribute(&mut self, _: &syn::Attribute) {}

    fn visit_macro(&mut self, called: &syn::Macro) {
        self.visit_path(&called.path);
        self.add_tokens(called.tokens.clone());
    }
}

impl Paths {
    /// Adds the token sequences in the arguments of a macro that look like paths.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.paths.insert(std::mem::take(&mut path));
                    }
                    colons = 0;
                    path.push(ident.to_string());
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1
                }
                other => {
                    self.paths.insert(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.add_tokens(group.stream());
                    }
                }
            }
        }
        self.paths.insert(path);
    }
}

/// Calls `each` with the full path and the local name of every item that a `use` names.
fn flatten(tree: &UseTree, prefix: &mut Vec<String>, each: &mut impl FnMut(Vec<String>, String)) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, each);
            prefix.pop();
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, prefix, each);
            }
        }
        UseTree::Glob(_) => each(prefix.clone(), "*".to_owned()),
        UseTree::Name(name) if name.ident == "self" => {
            let local = prefix.last().cloned().unwrap_or_default();
            each(prefix.clone(), local);
        }
        UseTree::Name(name) => {
            let mut full = prefix.clone();
            full.push(name.ident.to_string());
            each(full, name.ident.to_string());
        }
        UseTree::Rename(rename) => {
            let mut full = prefix.clone();
            if rename.ident != "self" {
                full.push(rename.ident.to_string());
            }
            each(full, rename.rename.to_string());
        }
    }
}

/// Returns the cycles among the submodules of each module, as text.
fn cycles(uses: &Uses) -> Vec<String> {
    let mut found = Vec::new();
    for parent in uses.keys() {
        let siblings = among_children(parent, uses);
        let reach: BTreeMap<_, _> = siblings
            .keys()
            .map(|from| (from, reachable(from, &siblings)))
            .collect();
        let mut seen = BTreeSet::new();
        for (from, reached) in &reach {
            let cycle: BTreeSet<&String> = reached
                .iter()
                .filter(|to| reach[to].contains(*from))
                .collect();
            if cycle.len() > 1 && seen.insert(cycle.clone()) {
                found.push(explain(parent, &cycle, uses));
            }
        }
    }
    found
}

/// Returns the dependencies between the submodules of `parent`, each with everything below it.
fn among_children(parent: &ModulePath, uses: &Uses) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, used) in uses {
        let Some(from) = child_of(parent, from) else {
            continue;
        };
        let entry = found.entry(from.clone()).or_default();
        for to in used.keys().filter_map(|to| child_of(parent, to)) {
            if to != from {
                entry.insert(to.clone());
            }
        }
    }
    found
}

/// Returns the submodule of `parent` that is `module` or contains it.
fn child_of<'a>(parent: &ModulePath, module: &'a ModulePath) -> Option<&'a String> {
    module.strip_prefix(parent.as_slice())?.first()
}

fn reachable(from: &String, uses: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        for used in uses.get(module).into_iter().flatten() {
            if reached.insert(used.clone()) {
                next.push(used);
            }
        }
    }
    reached
}

/// Returns a line for each use within a cycle.
fn explain(parent: &ModulePath, cycle: &BTreeSet<&String>, uses: &Uses) -> String {
    let names: Vec<_> = cycle.iter().map(|name| name.as_str()).collect();
    let mut lines = vec![format!("  {}", names.join(", "))];
    for (from, used) in uses {
        let Some(child) = child_of(parent, from) else {
            continue;
        };
        for (to, names) in used {
            let other = child_of(parent, to);
            if other.is_some_and(|other| {
                other != child && cycle.contains(other) && cycle.contains(child)
            }) {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                lines.push(format!(
                    "    {} -> {} ({})",
                    from.join("::"),
                    to.join("::"),
                    names.join(", ")
                ));
            }
        }
    }
    lines.join("\n")
}

#[test]
fn cycles_are_found_through_re_exports_and_macros() {
    let read = |modules: &[(&[&str], &str)]| Crate {
        name: "example".to_owned(),
        modules: modules
            .iter()
            .map(|(path, text)| {
                let path = path.iter().map(|&name| name.to_owned()).collect();
                let items = syn::parse_file(text).expect("valid").items;
                (
                    path,
                    super::source::Module {
                        items,
                        is_public: true,
                    },
                )
            })
            .collect(),
    };
    let cyclic = read(&[
        (&[], "mod a; mod b; pub use a::A;"),
        (&["a"], "pub struct A; fn f() { g!(crate::b::B) }"),
        (&["b"], "use crate::A; pub struct B(A);"),
    ]);
    let found = cycles(&uses(&cyclic));
    assert_eq!(
        found,
        ["  a, b\n    a -> b (B)\n    b -> a (A)"],
        "{found:?}"
    );

    let sound = read(&[
        (&[], "mod a; mod b; pub use a::A;"),
        (
            &["a"],
            "pub struct A; #[cfg(test)] fn f() { crate::b::b() }",
        ),
        (&["b"], "mod c; use crate::A; use c::C; pub fn b() {}"),
        (&["b", "c"], "use super::b; pub struct C;"),
    ]);
    assert!(cycles(&uses(&sound)).is_empty());
}
