//! Conditions on an event's fields and captured values, evaluated on the encoded bytes.

use super::Context;
use crate::event::{AtomId, CorrelationId, EventKind, ProcessId, Symbol};
use crate::ingest::encode::{put_atom, put_binary, put_int, put_pid};
use crate::store::EventHead;
use crate::value::format::{END, LIST, TAIL};
use crate::value::{Malformed, compare, contains, equal_numeric, find_step, split_first};

/// The field that a path begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Field {
    /// `id`
    Id,
    /// `event_type`
    EventType,
    /// `timestamp`
    Timestamp,
    /// `wall_time`
    WallTime,
    /// `node`
    Node,
    /// `pid`
    Pid,
    /// `correlation_id`
    CorrelationId,
    /// `parent_id`
    ParentId,
    /// `call_id`
    CallId,
    /// `module`
    Module,
    /// `function`
    Function,
    /// `arity`
    Arity,
    /// `file`
    File,
    /// `line`
    Line,
    /// `clause`
    Clause,
    /// `behaviour`
    Behaviour,
    /// A field of the payload; see [`EventKind::fields`].
    Payload(Box<str>),
}

impl Field {
    /// The field of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Field {
        match name {
            "id" => Field::Id,
            "event_type" => Field::EventType,
            "timestamp" => Field::Timestamp,
            "wall_time" => Field::WallTime,
            "node" => Field::Node,
            "pid" => Field::Pid,
            "correlation_id" => Field::CorrelationId,
            "parent_id" => Field::ParentId,
            "call_id" => Field::CallId,
            "module" => Field::Module,
            "function" => Field::Function,
            "arity" => Field::Arity,
            "file" => Field::File,
            "line" => Field::Line,
            "clause" => Field::Clause,
            "behaviour" => Field::Behaviour,
            other => Field::Payload(other.into()),
        }
    }

    /// The name under which the payload of such an event holds the field, if it does. A process that is born has a module and
    /// a function of its own, which are not those of the place where it was spawned.
    fn name_in_payload(&self, kind: EventKind) -> Option<&str> {
        match self {
            Field::Payload(name) => Some(name),
            Field::Module if kind == EventKind::ProcessSpawn => Some("module"),
            Field::Function if kind == EventKind::ProcessSpawn => Some("function"),
            _ => None,
        }
    }
}

/// A field, and the way into its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path {
    /// Where it begins.
    pub field: Field,
    /// Encoded keys of maps and indexes of lists and tuples.
    pub steps: Vec<Vec<u8>>,
}

/// What must hold between the value at a path and the condition's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Equal, in the order of terms: 1 equals 1.0.
    Eq,
    /// Not equal.
    Ne,
    /// Before, in the order of terms.
    Lt,
    /// Behind, in the order of terms.
    Gt,
    /// Not behind.
    Le,
    /// Not before.
    Ge,
    /// Equal to an element of the list that the condition gives.
    In,
    /// Holds it: as element of a list, key of a map, part of a binary.
    Contains,
    /// Is there. The condition's value does not matter.
    Exists,
    /// Is not there. The condition's value does not matter.
    Absent,
}

/// One condition. Where the path leads nowhere only [`Op::Absent`] holds: not even "not equal" does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    /// Where to look.
    pub path: Path,
    /// What must hold.
    pub op: Op,
    /// The encoded value to hold against what is found.
    pub value: Vec<u8>,
}

impl Condition {
    /// Whether it holds for an event. `scratch` is room to work in.
    pub(crate) fn holds(
        &self,
        head: &EventHead,
        payload: &[u8],
        context: &Context<'_>,
        scratch: &mut Vec<u8>,
    ) -> bool {
        let value = if let Some(name) = self.path.field.name_in_payload(head.kind) {
            in_payload(name, head.kind, payload)
        } else {
            scratch.clear();
            encode_field(&self.path.field, head, context, scratch).map(|()| scratch.as_slice())
        };
        let Some(found) = value.and_then(|value| walk(value, &self.path.steps)) else {
            return self.op == Op::Absent;
        };
        self.op.holds(found, &self.value, context).unwrap_or(false)
    }
}

impl Op {
    fn holds(self, found: &[u8], value: &[u8], context: &Context<'_>) -> Result<bool, Malformed> {
        let order = || compare(found, value, context.names);
        Ok(match self {
            Op::Eq => equal_numeric(found, value)?,
            Op::Ne => !equal_numeric(found, value)?,
            Op::Lt => order()?.is_lt(),
            Op::Gt => order()?.is_gt(),
            Op::Le => order()?.is_le(),
            Op::Ge => order()?.is_ge(),
            Op::Contains => contains(found, value)?,
            Op::In => is_in(found, value)?,
            Op::Exists => true,
            Op::Absent => false,
        })
    }
}

fn is_in(found: &[u8], list: &[u8]) -> Result<bool, Malformed> {
    let Some((&LIST, mut rest)) = list.split_first() else {
        return Ok(false);
    };
    while !matches!(rest.first(), None | Some(&(END | TAIL))) {
        let (element, behind) = split_first(rest)?;
        if equal_numeric(found, element)? {
            return Ok(true);
        }
        rest = behind;
    }
    Ok(false)
}

fn walk<'a>(value: &'a [u8], steps: &[Vec<u8>]) -> Option<&'a [u8]> {
    steps
        .iter()
        .try_fold(value, |value, step| find_step(value, step).ok().flatten())
}

/// The encoded value of a field that stands in no payload, `None` where this kind of event has no such field.
fn encode_field(
    field: &Field,
    head: &EventHead,
    context: &Context<'_>,
    out: &mut Vec<u8>,
) -> Option<()> {
    if !has(field, head.kind) {
        return None;
    }
    let site = || context.sites.site(head.site);
    let in_function = || site().filter(|site| site.function.is_some());
    let id = |id: u64| i64::try_from(id).ok().filter(|&id| id != 0).map(Plain::Int);
    let value = match field {
        Field::Id => id(head.id.0),
        Field::EventType => Some(Plain::Atom(context.kinds.id(head.kind))),
        Field::Timestamp => Some(Plain::Int(head.time.0)),
        Field::WallTime => Some(Plain::Int(
            head.time.0.saturating_add(context.time_offset_ns),
        )),
        Field::Node => Some(Plain::Atom(context.node)),
        Field::Pid => head.process.some().map(Plain::Pid),
        Field::CorrelationId if head.correlation == CorrelationId::AMBIGUOUS => {
            Some(Plain::Atom(context.symbols.id(Symbol::Ambiguous)))
        }
        Field::CorrelationId => id(head.correlation.0),
        Field::ParentId => id(head.parent.0),
        Field::CallId => id(head.call.0),
        Field::Module => site().map(|site| Plain::Atom(site.module)),
        Field::Function => site().and_then(|site| site.function).map(Plain::Atom),
        Field::Arity => in_function().map(|site| Plain::Int(i64::from(site.arity))),
        Field::File => site().map(|site| Plain::Text(site.file)),
        Field::Line => site().map(|site| Plain::Int(i64::from(site.line))),
        Field::Clause => in_function().map(|site| Plain::Int(i64::from(site.clause))),
        Field::Behaviour => site().and_then(|site| site.behaviour).map(Plain::Atom),
        Field::Payload(_) => return None,
    };
    match value {
        Some(Plain::Int(int)) => put_int(out, int),
        Some(Plain::Atom(atom)) => put_atom(out, atom),
        Some(Plain::Pid(process)) => put_pid(out, process),
        Some(Plain::Text(text)) => put_binary(out, text.as_bytes()),
        None => put_atom(out, context.symbols.id(Symbol::Nil)),
    }
    Some(())
}

enum Plain<'a> {
    Int(i64),
    Atom(AtomId),
    Pid(ProcessId),
    Text(&'a str),
}

/// Whether an event of this kind has the field, which stands in no payload.
fn has(field: &Field, kind: EventKind) -> bool {
    use EventKind as K;
    let call = matches!(
        kind,
        K::FunctionEntry
            | K::FunctionExit
            | K::SpanStart
            | K::SpanStop
            | K::StateChange
            | K::CallbackReply
    );
    let function = matches!(
        kind,
        K::FunctionEntry | K::FunctionExit | K::VariableAssignment
    );
    match field {
        Field::CallId => call,
        Field::Module => function || kind == K::StateChange,
        Field::Function => function,
        Field::Arity | Field::Behaviour => matches!(kind, K::FunctionEntry | K::FunctionExit),
        Field::File | Field::Clause => kind == K::FunctionEntry,
        Field::Line => matches!(kind, K::FunctionEntry | K::VariableAssignment),
        Field::Payload(_) => false,
        _ => true,
    }
}

fn in_payload<'a>(name: &str, kind: EventKind, payload: &'a [u8]) -> Option<&'a [u8]> {
    let place = kind.fields().iter().position(|&field| field == name)?;
    let mut rest = payload;
    for _ in 0..place {
        rest = split_first(rest).ok()?.1;
    }
    split_first(rest).ok().map(|(value, _)| value)
}
