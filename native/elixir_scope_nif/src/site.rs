//! Sites: from the literal that a capture call carries to the engine's index.

use elixir_scope_engine::event::{AtomId, SiteId};
use elixir_scope_engine::{SiteDef, SiteTable};
use rustler::{Atom, Encoder, Term};

use crate::fields::list;
use crate::term::{self, raw};

/// The index of the site `{id, descriptor}`; defines it at first sight. [`SiteId::NONE`] for anything else.
#[inline(always)]
pub fn find(site: Term<'_>) -> SiteId {
    if let Some(id) = raw::site_id(site) {
        let found = SiteTable::shared().find(id);
        if found.is_some() {
            return found;
        }
    }
    find_or_define(site)
}

/// Where words are not read, or at first sight.
#[inline(never)]
fn find_or_define(site: Term<'_>) -> SiteId {
    let Ok((id, _)) = site.decode::<(u64, Term<'_>)>() else {
        return SiteId::NONE;
    };
    let found = SiteTable::shared().find(id);
    if found.is_some() {
        return found;
    }
    describe(site).map_or(SiteId::NONE, |def| SiteTable::shared().define(id, def))
}

/// The names of the arguments of the site's function, as far as they are known.
#[inline]
pub fn arguments(site: SiteId) -> &'static [AtomId] {
    SiteTable::shared().get(site).map_or(&[], |site| &site.args)
}

type Descriptor<'a> = (Atom, Atom, u32, &'a str, u32, u32, Term<'a>);

/// `{id, {module, function | nil, arity, file, line, clause, [argument names]}}`
fn describe(site: Term<'_>) -> Option<SiteDef> {
    let env = site.get_env();
    let (_, descriptor): (Term<'_>, Descriptor<'_>) = site.decode().ok()?;
    let (module, function, arity, file, line, clause, names) = descriptor;
    let name = |atom: Atom| term::atom_id(atom.encode(env));
    Some(SiteDef {
        module: name(module)?,
        function: (function != crate::atoms::nil())
            .then(|| name(function))
            .flatten(),
        arity,
        file: file.into(),
        line,
        clause,
        args: list(names)?
            .into_iter()
            .map(|argument| term::atom_id(argument).unwrap_or_default())
            .collect(),
    })
}
