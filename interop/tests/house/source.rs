//! The modules of a crate as they are in the source.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use syn::{Attribute, Item, Meta};

/// A path below a crate's root; empty for the root itself.
pub(crate) type ModulePath = Vec<String>;

/// The modules of one crate, without those for tests.
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) modules: BTreeMap<ModulePath, Module>,
}

/// One module, without its submodules.
pub(crate) struct Module {
    pub(crate) items: Vec<Item>,
    /// Whether its declaration makes it public. True for the root.
    pub(crate) is_public: bool,
}

impl Crate {
    /// Reads the crate in this directory from `src/lib.rs` or `src/main.rs`.
    pub(crate) fn read(dir: &Path) -> Self {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let mut read = Self {
            name: name.into_owned(),
            modules: BTreeMap::new(),
        };
        let src = dir.join("src");
        let root = ["lib.rs", "main.rs"]
            .map(|file| src.join(file))
            .into_iter()
            .find(|file| file.exists())
            .unwrap_or_else(|| panic!("{} has no root module", dir.display()));
        read.add_file(&root, &src, Vec::new(), true);
        read
    }

    fn add_file(&mut self, file: &Path, children: &Path, path: ModulePath, is_public: bool) {
        let text = fs::read_to_string(file)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        let parsed = syn::parse_file(&text)
            .unwrap_or_else(|error| panic!("cannot parse {}: {error}", file.display()));
        self.add_items(parsed.items, file, children, path, is_public);
    }

    /// Adds a module whose submodules are in the directory `children`.
    fn add_items(
        &mut self,
        items: Vec<Item>,
        file: &Path,
        children: &Path,
        path: ModulePath,
        is_public: bool,
    ) {
        let mut own = Vec::new();
        for item in items {
            let Item::Mod(module) = item else {
                if !is_for_tests(attributes(&item)) {
                    own.push(item);
                }
                continue;
            };
            if is_for_tests(&module.attrs) {
                continue;
            }
            let name = module.ident.to_string();
            let mut inner = path.clone();
            inner.push(name.clone());
            let public_child = matches!(module.vis, syn::Visibility::Public(_));
            let below = children.join(&name);
            match module.content {
                Some((_, items)) => self.add_items(items, file, &below, inner, public_child),
                None => {
                    let file = file_of(&module.attrs, file, children, &name);
                    self.add_file(&file, &below, inner, public_child);
                }
            }
        }
        self.modules.insert(
            path,
            Module {
                items: own,
                is_public,
            },
        );
    }
}

/// Returns the file of the module `name`, which is declared in `parent`.
fn file_of(attributes: &[Attribute], parent: &Path, children: &Path, name: &str) -> PathBuf {
    let named = attributes.iter().find_map(|attribute| {
        let Meta::NameValue(meta) = &attribute.meta else {
            return None;
        };
        let syn::Expr::Lit(literal) = &meta.value else {
            return None;
        };
        match &literal.lit {
            syn::Lit::Str(file) if meta.path.is_ident("path") => Some(file.value()),
            _ => None,
        }
    });
    if let Some(named) = named {
        return parent.with_file_name(named);
    }
    let flat = children.join(format!("{name}.rs"));
    if flat.exists() {
        flat
    } else {
        children.join(name).join("mod.rs")
    }
}

/// Whether these attributes restrict an item to tests or fuzzing.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else {
            return false;
        };
        let condition = list.tokens.to_string();
        list.path.is_ident("cfg")
            && !condition.starts_with("not")
            && ["test", "doctest", "fuzzing"].iter().any(|word| {
                condition
                    .split(|c: char| !c.is_alphanumeric())
                    .any(|it| it == *word)
            })
    })
}

/// Returns the attributes of an item.
pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
