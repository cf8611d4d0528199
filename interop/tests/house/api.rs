//! The public items of the published crates, as a list whose changes are visible in review.
//!
//! The list is generated from the source, so that it does not depend on the internal formats of a
//! compiler. It contains every item that is declared `pub`. The lint `unreachable_pub`, which is an
//! error in checks, ensures that such an item can be reached from outside. An item is listed where
//! it is public: below its module if the module is public, and otherwise below the crate, which
//! re-exports it. Of the items that macros generate, the types and constants of `bitflags!` are listed,
//! and the members that macros without arguments add to an `impl`.
//!
//! After an intended change: `INSTA_UPDATE=always cargo test -p eepkit-interop --test house api`.

use std::collections::{BTreeMap, BTreeSet};

use quote::ToTokens;
use syn::{
    Attribute, Expr, Fields, Ident, ImplItem, Item, ItemImpl, ItemMacro, ItemTrait, Meta, Token,
    TraitItem, Type, Visibility, braced, parenthesized,
    parse::{Parse, ParseStream},
};

use super::{
    source::{Crate, ModulePath, attributes, is_for_tests},
    tidy::root,
};

/// The published crates with a library.
const PUBLISHED: [&str; 17] = [
    "eepkit",
    "eepkit-attach",
    "eepkit-bob",
    "eepkit-datagram",
    "eepkit-files",
    "eepkit-i2cp",
    "eepkit-irc",
    "eepkit-link",
    "eepkit-naming",
    "eepkit-netem",
    "eepkit-router",
    "eepkit-sam",
    "eepkit-services",
    "eepkit-sim",
    "eepkit-socks",
    "eepkit-streaming",
    "eepkit-wire",
];

#[test]
fn the_api_matches_the_reviewed_lists() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("api");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for name in PUBLISHED {
            let read = Crate::read(&root().join("crates").join(name));
            insta::assert_snapshot!(name, list(&read));
        }
    });
}

/// Returns the public items of a crate, one per line, sorted.
fn list(read: &Crate) -> String {
    let mut api = Api {
        lines: BTreeSet::new(),
        types: public_types(read),
        macros: member_macros(read),
    };
    for (path, module) in &read.modules {
        let place = public_place(read, path);
        for item in &module.items {
            api.add(&place, item);
        }
    }
    api.lines.into_iter().collect::<Vec<_>>().join("\n")
}

/// Returns the names of the public types and traits of the crate.
fn public_types(read: &Crate) -> BTreeSet<String> {
    let items = read.modules.values().flat_map(|module| &module.items);
    let names = items.filter_map(|item| match item {
        Item::Struct(item) => Some((item.vis.clone(), item.ident.clone())),
        Item::Enum(item) => Some((item.vis.clone(), item.ident.clone())),
        Item::Trait(item) => Some((item.vis.clone(), item.ident.clone())),
        Item::Type(item) => Some((item.vis.clone(), item.ident.clone())),
        Item::Macro(item) => flags_type(item).map(|flags| (flags.visibility, flags.name)),
        _ => None,
    });
    names
        .filter(|(visibility, _)| is_public(visibility))
        .map(|(_, name)| name.to_string())
        .collect()
}

/// Returns the macros without arguments that expand to members of an `impl`.
fn member_macros(read: &Crate) -> BTreeMap<String, Vec<ImplItem>> {
    let items = read.modules.values().flat_map(|module| &module.items);
    let macros = items.filter_map(|item| match item {
        Item::Macro(item) => {
            let members = syn::parse2::<Members>(item.mac.tokens.clone()).ok()?;
            Some((item.ident.as_ref()?.to_string(), members.0))
        }
        _ => None,
    });
    macros.collect()
}

/// The body of `macro_rules!` with one rule, which has no arguments.
struct Members(Vec<ImplItem>);

impl Parse for Members {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let (arguments, body);
        parenthesized!(arguments in input);
        if !arguments.is_empty() {
            return Err(arguments.error("has arguments"));
        }
        input.parse::<Token![=>]>()?;
        braced!(body in input);
        let mut members = Vec::new();
        while !body.is_empty() {
            members.push(body.parse()?);
        }
        input.parse::<Option<Token![;]>>()?;
        Ok(Self(members))
    }
}

/// Returns the public path of a module's items: that of the nearest enclosing module whose parents
/// are all public.
fn public_place(read: &Crate, path: &ModulePath) -> String {
    let public = (0..=path.len())
        .take_while(|length| read.modules[&path[..*length].to_vec()].is_public)
        .last()
        .unwrap_or(0);
    path[..public]
        .iter()
        .map(|name| format!("{name}::"))
        .collect()
}

struct Api {
    lines: BTreeSet<String>,
    types: BTreeSet<String>,
    macros: BTreeMap<String, Vec<ImplItem>>,
}

impl Api {
    fn line(&mut self, attributes: &[Attribute], text: &str) {
        let marks: String = attributes.iter().filter_map(mark).collect();
        self.lines.insert(format!("{text}{marks}"));
    }

    fn add(&mut self, place: &str, item: &Item) {
        let about = attributes(item);
        if is_for_tests(about) || is_hidden(about) {
            return;
        }
        match item {
            Item::Const(item) if is_public(&item.vis) => {
                let kind = text(&item.ty);
                self.line(about, &format!("{place}{}: const {kind}", item.ident));
            }
            Item::Fn(item) if is_public(&item.vis) => {
                let signature = text(&item.sig);
                self.line(about, &format!("{place}{}: {signature}", item.sig.ident));
            }
            Item::Static(item) if is_public(&item.vis) => {
                let kind = text(&item.ty);
                self.line(about, &format!("{place}{}: static {kind}", item.ident));
            }
            Item::Type(item) if is_public(&item.vis) => {
                let name = format!("{place}{}", item.ident);
                let kind = text(&item.ty);
                self.line(
                    about,
                    &format!("{name}: type{} = {kind}", text(&item.generics)),
                );
            }
            Item::Struct(item) if is_public(&item.vis) => {
                let name = format!("{place}{}", item.ident);
                self.line(about, &format!("{name}: struct{}", text(&item.generics)));
                self.fields(&name, &item.fields, true);
            }
            Item::Enum(item) if is_public(&item.vis) => {
                let name = format!("{place}{}", item.ident);
                self.line(about, &format!("{name}: enum{}", text(&item.generics)));
                for variant in &item.variants {
                    let variant_name = format!("{name}::{}", variant.ident);
                    self.line(&variant.attrs, &format!("{variant_name}: variant"));
                    self.fields(&variant_name, &variant.fields, false);
                }
            }
            Item::Trait(item) if is_public(&item.vis) => self.add_trait(place, item),
            Item::Impl(item) => self.add_impl(place, item),
            Item::Macro(item) => {
                if let Some(flags) = flags_type(item) {
                    self.add_flags(place, &flags);
                }
            }
            Item::Use(item) if is_public(&item.vis) => {
                self.line(about, &format!("{place}use {}", text(&item.tree)));
            }
            _ => {}
        }
    }

    /// Adds the public fields of a struct, or all fields of a variant.
    fn fields(&mut self, name: &str, fields: &Fields, of_struct: bool) {
        for (index, field) in fields.iter().enumerate() {
            if !of_struct || is_public(&field.vis) {
                let field_name = field
                    .ident
                    .as_ref()
                    .map_or_else(|| index.to_string(), ToString::to_string);
                let kind = text(&field.ty);
                self.line(&field.attrs, &format!("{name}.{field_name}: {kind}"));
            }
        }
    }

    fn add_trait(&mut self, place: &str, item: &ItemTrait) {
        let name = format!("{place}{}", item.ident);
        let bounds = text(&item.supertraits);
        let generics = text(&item.generics);
        self.line(&item.attrs, &format!("{name}: trait{generics}: {bounds}"));
        for member in &item.items {
            match member {
                TraitItem::Const(member) => {
                    let kind = text(&member.ty);
                    self.line(
                        &member.attrs,
                        &format!("{name}::{}: const {kind}", member.ident),
                    );
                }
                TraitItem::Fn(member) => {
                    let provided = if member.default.is_some() {
                        " { .. }"
                    } else {
                        ""
                    };
                    let signature = text(&member.sig);
                    let member_name = format!("{name}::{}", member.sig.ident);
                    self.line(
                        &member.attrs,
                        &format!("{member_name}: {signature}{provided}"),
                    );
                }
                TraitItem::Type(member) => {
                    let bounds = text(&member.bounds);
                    self.line(
                        &member.attrs,
                        &format!("{name}::{}: type {bounds}", member.ident),
                    );
                }
                _ => {}
            }
        }
    }

    fn add_flags(&mut self, place: &str, flags: &FlagsType) {
        if is_public(&flags.visibility) {
            let name = format!("{place}{}", flags.name);
            let bits = text(&flags.bits);
            self.line(&flags.attributes, &format!("{name}: bitflags {bits}"));
            for constant in &flags.constants {
                self.line(&[], &format!("{name}::{constant}: const Self"));
            }
        }
    }

    fn add_impl(&mut self, place: &str, item: &ItemImpl) {
        let target = text(&item.self_ty);
        let Some(name) = named(&item.self_ty).filter(|name| self.types.contains(name)) else {
            return;
        };
        if let Some((_, implemented, _)) = &item.trait_ {
            let bounds = text(&item.generics.where_clause);
            let implemented = text(implemented);
            let generics = text(&item.generics);
            let line = format!("{place}{name}: impl{generics} {implemented} for {target} {bounds}");
            self.line(&item.attrs, line.trim_end());
            return;
        }
        self.add_members(place, &name, &item.items);
    }

    /// Adds the members of an `impl`, and those that macros of this crate add to it.
    fn add_members(&mut self, place: &str, name: &str, members: &[ImplItem]) {
        for member in members {
            match member {
                ImplItem::Macro(called) => {
                    let added = called.mac.path.get_ident();
                    let added = added.and_then(|name| self.macros.get(&name.to_string()).cloned());
                    self.add_members(place, name, &added.unwrap_or_default());
                }
                ImplItem::Const(member) if is_public(&member.vis) => {
                    let kind = text(&member.ty);
                    let line = format!("{place}{name}::{}: const {kind}", member.ident);
                    self.line(&member.attrs, &line);
                }
                ImplItem::Fn(member)
                    if is_public(&member.vis)
                        && !is_hidden(&member.attrs)
                        && !is_for_tests(&member.attrs) =>
                {
                    let signature = text(&member.sig);
                    let line = format!("{place}{name}::{}: {signature}", member.sig.ident);
                    self.line(&member.attrs, &line);
                }
                _ => {}
            }
        }
    }
}

/// The body of `bitflags!`: a struct with its bits as constants.
struct FlagsType {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    name: Ident,
    bits: Type,
    constants: Vec<Ident>,
}

/// The type that an item declares, if it is `bitflags!`.
fn flags_type(item: &ItemMacro) -> Option<FlagsType> {
    let is_flags = item.mac.path.is_ident("bitflags");
    is_flags.then(|| item.mac.parse_body().expect("one type of flags"))
}

impl Parse for FlagsType {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        input.parse::<Token![struct]>()?;
        let name = input.parse()?;
        input.parse::<Token![:]>()?;
        let bits = input.parse()?;
        let body;
        braced!(body in input);
        let mut constants = Vec::new();
        while !body.is_empty() {
            body.call(Attribute::parse_outer)?;
            body.parse::<Token![const]>()?;
            // `_` stands for bits without a name.
            if let Ok(constant) = body.parse() {
                constants.push(constant);
            } else {
                body.parse::<Token![_]>()?;
            }
            body.parse::<Token![=]>()?;
            body.parse::<Expr>()?;
            body.parse::<Token![;]>()?;
        }
        Ok(Self {
            attributes,
            visibility,
            name,
            bits,
            constants,
        })
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("doc") && list.tokens.to_string() == "hidden",
        _ => false,
    })
}

/// Returns the API-relevant attributes of an item, which are listed after it.
fn mark(attribute: &Attribute) -> Option<String> {
    let telling = ["cfg", "deprecated", "derive", "must_use", "non_exhaustive"];
    let name = attribute.path().get_ident()?.to_string();
    telling
        .contains(&name.as_str())
        .then(|| format!(" #[{}]", text(&attribute.meta)))
}

/// Returns the name of the type that an `impl` is for.
fn named(of: &Type) -> Option<String> {
    match of {
        Type::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
        Type::Reference(reference) => named(&reference.elem),
        _ => None,
    }
}

/// Formats source text on one line, with the usual spaces.
fn text(tokens: &impl ToTokens) -> String {
    let spaced = tokens.to_token_stream().to_string();
    let mut text = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    for (from, to) in [
        (" ::", "::"),
        (":: ", "::"),
        (" <", "<"),
        ("< ", "<"),
        (" >", ">"),
        (" ,", ","),
        (" ;", ";"),
        (" :", ":"),
        ("& ", "&"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" [", "["),
        ("[ ", "["),
        (" ]", "]"),
        (",)", ")"),
        (",>", ">"),
        ("# [", "#["),
        (" ?", "?"),
        ("? ", "?"),
        ("* ", "*"),
    ] {
        text = text.replace(from, to);
    }
    // Without a space before the parenthesis, these would look like calls.
    text.replace("for(", "for (")
        .replace("->(", "-> (")
        .replace(",(", ", (")
        .replace("=(", "= (")
        .replace(":(", ": (")
        .replace("mut[", "mut [")
}

#[test]
fn items_are_listed_where_they_are_public() {
    let mut read = Crate {
        name: "example".to_owned(),
        modules: Default::default(),
    };
    for (path, is_public, source) in [
        (vec![], true, "pub use a::A; pub mod b;"),
        (
            vec!["a".to_owned()],
            false,
            "#[derive(Debug)] pub struct A { pub x: u8, y: u8 }
             impl A { pub fn f<'a>(&'a self, t: &mut [u8]) -> Result<(), ()> { Ok(()) } fn g() {} }
             impl From<u8> for A {} struct P; impl From<u8> for P {}",
        ),
        (
            vec!["b".to_owned()],
            true,
            "#[non_exhaustive] pub enum E { V(u8) } pub(crate) fn h() {}",
        ),
    ] {
        let items = syn::parse_file(source).expect("valid").items;
        read.modules
            .insert(path, super::source::Module { items, is_public });
    }

    let expected = [
        "A.x: u8",
        "A: impl From<u8> for A",
        "A: struct #[derive(Debug)]",
        "A::f: fn f<'a>(&'a self, t: &mut [u8]) -> Result<(), ()>",
        "b::E: enum #[non_exhaustive]",
        "b::E::V.0: u8",
        "b::E::V: variant",
        "use a::A",
    ];
    assert_eq!(list(&read), expected.join("\n"));
}
