//! Sites: from the literal that a capture call carries to the engine's index, and their switches.

use elixir_scope_engine::event::{AtomId, SiteId};
use elixir_scope_engine::{
    Callee, FoundSite, Gap, Receives, Rule, SiteClass, SiteDef, SiteTable, Strategy, Switches, Via,
};
use rustler::{Atom, Encoder, Env, Term};

use crate::callback::StateShape;
use crate::entry::{Answer, Raise};
use crate::fields::{get, list, need};
use crate::term::{self, Word, raw};
use crate::{atoms, fields, runtime};

/// The index of the site `{id, descriptor}`; defines it at first sight. [`SiteId::NONE`] for anything else.
#[inline(always)]
pub fn find(site: Term<'_>) -> SiteId {
    look(site).site
}

/// The same, and whether the site records.
#[inline(always)]
pub fn look(site: Term<'_>) -> FoundSite {
    if let Some(id) = raw::site_id(site) {
        let found = SiteTable::shared().look(id);
        if found.site.is_some() {
            return found;
        }
    }
    look_or_define(site.get_env(), term::word(site))
}

/// Where words are not read, or at first sight. (Given a word, because a `Term` would have to stand in memory for it.)
#[inline(never)]
fn look_or_define(env: Env<'_>, site: Word) -> FoundSite {
    let site = term::term(env, site);
    let Ok((id, _)) = site.decode::<(u64, Term<'_>)>() else {
        return FoundSite::NONE;
    };
    let table = SiteTable::shared();
    let found = table.look(id);
    if id == 0 || found.site.is_some() {
        return if id == 0 { FoundSite::NONE } else { found };
    }
    let Some(def) = describe(site) else {
        return FoundSite::NONE;
    };
    table.define(id, def);
    table.look(id)
}

/// The names of the arguments of the site's function, as far as they are known.
#[inline]
pub fn arguments(site: SiteId) -> &'static [AtomId] {
    SiteTable::shared().get(site).map_or(&[], |site| &site.args)
}

/// `{id, {module, function | nil, arity, file, line, clause, [argument names], role}}`
fn describe(site: Term<'_>) -> Option<SiteDef> {
    let env = site.get_env();
    let [_, descriptor] = term::elements(env, term::word(site))? else {
        return None;
    };
    let &[module, function, arity, file, line, clause, names, role] =
        term::elements(env, *descriptor)?
    else {
        return None;
    };
    let of = |word| term::term(env, word);
    let number = |word| of(word).decode::<u32>().ok();
    let (role, callee) = tail(of(role));
    let role = self::role(role)?;
    let arity = number(arity)?;
    Some(SiteDef {
        module: term::atom_id(of(module))?,
        function: self::name(of(function)),
        arity,
        file: of(file).decode::<&str>().ok()?.into(),
        line: number(line)?,
        clause: number(clause)?,
        args: list(of(names))?
            .into_iter()
            .map(|argument| term::atom_id(argument).unwrap_or_default())
            .collect(),
        class: role.class,
        behaviour: role.behaviour,
        holds_state: role.shape.is_some() || role.loops,
        form: role.shape.map_or(0, StateShape::number),
        state_argument: role.shape.and_then(|shape| shape.argument(arity)),
        receives: role.receives,
        callee,
    })
}

/// `{:tail, role, {module, function, arity}}` of the place of a tail call, with the function that it calls; any other role is
/// itself.
fn tail(role: Term<'_>) -> (Term<'_>, Option<Callee>) {
    type Function<'a> = (Term<'a>, Term<'a>, u32);
    match role.decode::<(Atom, Term<'_>, Function<'_>)>() {
        Ok((tag, role, (module, function, arity))) if tag == atoms::tail() => {
            let callee =
                term::atom_id(module)
                    .zip(term::atom_id(function))
                    .map(|(module, function)| Callee {
                        module,
                        function,
                        arity,
                    });
            (role, callee)
        }
        _ => (role, None),
    }
}

/// An atom; `nil` and anything else is none.
fn name(term: Term<'_>) -> Option<AtomId> {
    term::atom_id(term).filter(|_| atoms::nil() != term)
}

/// What a role tells the engine.
struct Role {
    class: SiteClass,
    behaviour: Option<AtomId>,
    /// How a callback answers a state.
    shape: Option<StateShape>,
    /// Whether it is called with a state again and again.
    loops: bool,
    receives: Option<Receives>,
}

/// `:mark | :public | :private | :chosen | :loop | {:callback, behaviour, receives, state shape}`
fn role(role: Term<'_>) -> Option<Role> {
    if let Ok(name) = role.decode::<Atom>() {
        let class = match name {
            _ if name == atoms::mark() => SiteClass::Mark,
            _ if name == atoms::public() => SiteClass::Public,
            _ if name == atoms::private() => SiteClass::Private,
            _ if name == atoms::chosen() || name == atoms::loop_() => SiteClass::Chosen,
            _ => return None,
        };
        return Some(Role {
            class,
            behaviour: None,
            shape: None,
            loops: name == atoms::loop_(),
            receives: None,
        });
    }
    let (tag, behaviour, receives, shape): (Atom, Term<'_>, Term<'_>, Term<'_>) =
        role.decode().ok()?;
    if tag != atoms::callback() {
        return None;
    }
    Some(Role {
        class: SiteClass::Callback,
        behaviour: name(behaviour),
        shape: StateShape::of_name(term::word(shape)),
        loops: false,
        receives: self::receives(receives)?,
    })
}

/// `nil | {:call | :cast | :send, message index, sender index | nil}`
fn receives(receives: Term<'_>) -> Option<Option<Receives>> {
    if receives.is_atom() {
        return Some(None);
    }
    let (via, message, sender): (Atom, u32, Term<'_>) = receives.decode().ok()?;
    let via = match via {
        _ if via == atoms::call() => Via::Request,
        _ if via == atoms::cast() => Via::Notice,
        _ if via == atoms::send() => Via::Plain,
        _ => return None,
    };
    Some(Some(Receives {
        via,
        message,
        sender: sender.decode().ok(),
    }))
}

/// `switch(%{strategy: strategy, rules: rules})`
pub fn switch<'a>(env: Env<'a>, [switches]: [Term<'a>; 1]) -> Answer<'a> {
    let strategy: Atom = need(switches, atoms::strategy())?;
    let strategy = match strategy {
        _ if strategy == atoms::nil() => None,
        _ if strategy == atoms::minimal() => Some(Strategy::Minimal),
        _ if strategy == atoms::balanced() => Some(Strategy::Balanced),
        _ if strategy == atoms::full_trace() => Some(Strategy::FullTrace),
        _ => return Err(Raise::BadArgument),
    };
    let rules = get(switches, atoms::rules()).ok_or(Raise::BadArgument)?;
    let rules = fields::list(rules)
        .ok_or(Raise::BadArgument)?
        .into_iter()
        .map(rule)
        .collect::<Option<_>>()
        .ok_or(Raise::BadArgument)?;
    SiteTable::shared().switch(Switches { strategy, rules });
    runtime::renew_states();
    if let Some(running) = runtime::running() {
        running.recorder.gap(Gap::Places);
    }
    Ok(atoms::ok().encode(env))
}

/// `{module | {module, function, arity}, boolean}`
fn rule(rule: Term<'_>) -> Option<Rule> {
    let (target, is_on): (Term<'_>, bool) = rule.decode().ok()?;
    if let Some(module) = term::atom_id(target) {
        return Some(Rule {
            module,
            function: None,
            is_on,
        });
    }
    let (module, function, arity): (Term<'_>, Term<'_>, u32) = target.decode().ok()?;
    Some(Rule {
        module: term::atom_id(module)?,
        function: Some((term::atom_id(function)?, arity)),
        is_on,
    })
}
