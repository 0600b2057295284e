// SPDX-License-Identifier: GPL-2.0
//! `kernel::prelude::fmt!`: `format_args!` with every argument wrapped in `kernel::fmt::Adapter`, as in the kernel.

use proc_macro::{Group, Ident, Span, TokenStream, TokenTree};
use std::collections::BTreeSet;

/// `format_args!` for types that implement `kernel::fmt::Display`.
#[proc_macro]
pub fn fmt(input: TokenStream) -> TokenStream {
    let mut tokens = input.into_iter();
    let Some(first) = tokens.next() else {
        return wrap(TokenStream::new());
    };
    let mut names = match &first {
        TokenTree::Literal(literal) => captured(&literal.to_string()),
        _ => BTreeSet::new(),
    };
    let span = first.span();
    let mut out = TokenStream::from(first);
    for argument in split(tokens.collect()) {
        out.extend(",".parse::<TokenStream>());
        let (name, value) = named(argument);
        if let Some(name) = name {
            names.remove(&name.to_string());
            out.extend([TokenTree::Ident(name)]);
            out.extend("=".parse::<TokenStream>());
        }
        out.extend(adapted(value));
    }
    for name in names {
        out.extend(format!(", {name} =").parse::<TokenStream>());
        out.extend(adapted(TokenTree::Ident(Ident::new(&name, span)).into()));
    }
    wrap(out)
}

fn wrap(arguments: TokenStream) -> TokenStream {
    let mut out: TokenStream = "::core::format_args!".parse().unwrap();
    out.extend([TokenTree::Group(Group::new(
        proc_macro::Delimiter::Parenthesis,
        arguments,
    ))]);
    out
}

fn adapted(value: TokenStream) -> TokenStream {
    let mut reference: TokenStream = "&".parse().unwrap();
    reference.extend([TokenTree::Group(Group::new(
        proc_macro::Delimiter::Parenthesis,
        value,
    ))]);
    let mut out: TokenStream = "::kernel::fmt::Adapter".parse().unwrap();
    let mut group = Group::new(proc_macro::Delimiter::Parenthesis, reference);
    group.set_span(Span::call_site());
    out.extend([TokenTree::Group(group)]);
    out
}

/// The names that a format string captures.
fn captured(literal: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = literal;
    while let Some((_, after)) = rest.split_once('{') {
        rest = after;
        if let Some(after) = rest.strip_prefix('{') {
            rest = after;
            continue;
        }
        let Some((name, after)) = rest.split_once('}') else {
            break;
        };
        rest = after;
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        if !name.is_empty() && !name.chars().all(|c| c.is_ascii_digit()) {
            names.insert(name.to_string());
        }
    }
    names
}

/// Splits at the commas.
fn split(tokens: Vec<TokenTree>) -> Vec<TokenStream> {
    let mut arguments = Vec::new();
    let mut current = Vec::new();
    for token in tokens {
        if matches!(&token, TokenTree::Punct(punct) if punct.as_char() == ',') {
            if !current.is_empty() {
                arguments.push(std::mem::take(&mut current).into_iter().collect());
            }
        } else {
            current.push(token);
        }
    }
    if !current.is_empty() {
        arguments.push(current.into_iter().collect());
    }
    arguments
}

/// Takes `name =` off an argument.
fn named(argument: TokenStream) -> (Option<Ident>, TokenStream) {
    let tokens: Vec<TokenTree> = argument.into_iter().collect();
    if let [TokenTree::Ident(name), TokenTree::Punct(equals), value @ ..] = tokens.as_slice() {
        let compares = matches!(value.first(), Some(TokenTree::Punct(p)) if p.as_char() == '=');
        if equals.as_char() == '=' && !compares {
            return (Some(name.clone()), value.iter().cloned().collect());
        }
    }
    (None, tokens.into_iter().collect())
}
