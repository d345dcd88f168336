//! Event structs of Elixir, made from rows of the store, and rows made from structs.

use elixir_scope_engine::event::{AtomId, CorrelationId, EventKind};
use elixir_scope_engine::value::{Malformed, Reader, format};
use elixir_scope_engine::{EventHead, RecorderConfig, Rows, SiteTable};
use once_cell::sync::OnceCell;
use rustler::{Atom, Encoder, Env, Term};

use crate::term::Word;
use crate::term::decode::Decoder;
use crate::text::Texts;
use crate::{atoms, host, term};

/// Where a field of an event struct comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    Struct,
    Id,
    EventType,
    Timestamp,
    WallTime,
    Node,
    Pid,
    CorrelationId,
    ParentId,
    CallId,
    Module,
    Function,
    Arity,
    File,
    Line,
    Clause,
    Behaviour,
    /// The value at this index of the payload.
    Payload(usize),
    /// A list behind the values of the payload, where one stands.
    Stack,
    /// A field of the struct that this kind does not have.
    Absent,
}

/// The name of the struct, after `ElixirScope.Events.`, and the fields that it has beside the common header and the payload's.
const fn own(kind: EventKind) -> (&'static str, &'static [&'static str]) {
    match kind {
        EventKind::FunctionEntry => (
            "FunctionEntry",
            &[
                "module",
                "function",
                "arity",
                "call_id",
                "file",
                "line",
                "clause",
                "behaviour",
                "stack",
            ],
        ),
        EventKind::FunctionExit => (
            "FunctionExit",
            &["module", "function", "arity", "call_id", "behaviour"],
        ),
        EventKind::UserEvent => ("UserEvent", &[]),
        EventKind::SpanStart => ("Span", &["call_id", "duration_ns", "exit_reason"]),
        EventKind::SpanStop => ("Span", &["call_id"]),
        EventKind::StateChange => ("StateChange", &["module", "call_id"]),
        EventKind::CallbackReply => ("CallbackReply", &["call_id"]),
        EventKind::MessageSend => ("MessageSend", &[]),
        EventKind::MessageReceive => ("MessageReceive", &[]),
        EventKind::MessageTaken => ("MessageTaken", &[]),
        EventKind::ProcessSpawn => ("ProcessSpawn", &[]),
        EventKind::ProcessExit => ("ProcessExit", &[]),
        EventKind::ProcessLink => ("ProcessLink", &[]),
        EventKind::ProcessUnlink => ("ProcessUnlink", &[]),
        EventKind::ProcessRegister => ("ProcessRegister", &[]),
        EventKind::ProcessUnregister => ("ProcessUnregister", &[]),
        EventKind::VariableAssignment => ("VariableAssignment", &["module", "function", "line"]),
        EventKind::Error => ("ErrorEvent", &[]),
        EventKind::Crash => ("CrashDump", &[]),
        EventKind::PerformanceMetric => ("PerformanceMetric", &[]),
        EventKind::GarbageCollection => ("GarbageCollection", &[]),
        EventKind::Telemetry => ("TelemetryEvent", &[]),
        EventKind::NodeEvent => ("NodeEvent", &[]),
        EventKind::TraceControl => ("TraceControl", &[]),
        EventKind::DataLoss => ("DataLoss", &[]),
    }
}

const HEADER: &[(&str, Source)] = &[
    ("__struct__", Source::Struct),
    ("id", Source::Id),
    ("event_type", Source::EventType),
    ("timestamp", Source::Timestamp),
    ("wall_time", Source::WallTime),
    ("node", Source::Node),
    ("pid", Source::Pid),
    ("correlation_id", Source::CorrelationId),
    ("parent_id", Source::ParentId),
];

fn source(kind: EventKind, field: &str) -> Source {
    match field {
        _ if kind.fields().contains(&field) => Source::Payload(
            kind.fields()
                .iter()
                .take_while(|name| **name != field)
                .count(),
        ),
        "module" => Source::Module,
        "function" => Source::Function,
        "arity" => Source::Arity,
        "call_id" => Source::CallId,
        "file" => Source::File,
        "line" => Source::Line,
        "clause" => Source::Clause,
        "behaviour" => Source::Behaviour,
        "stack" => Source::Stack,
        _ => Source::Absent,
    }
}

/// How the struct of one kind is laid out.
pub struct Layout {
    pub kind: EventKind,
    /// `ElixirScope.Events.…`
    pub module: Atom,
    /// `:function_entry`, …
    pub event_type: Atom,
    pub fields: Vec<(Atom, Source)>,
    keys: Vec<Word>,
}

impl Layout {
    fn place_of(&self, source: Source) -> Option<usize> {
        self.fields.iter().position(|(_, from)| *from == source)
    }
}

static LAYOUTS: OnceCell<Vec<Layout>> = OnceCell::new();

fn atom(env: Env<'_>, name: &str) -> Atom {
    // A name of our own is short enough for an atom, so the fallback is never met.
    Atom::from_str(env, name).unwrap_or_else(|_| atoms::nil())
}

/// The layouts of all kinds, in the order of [`EventKind::ALL`].
pub fn layouts(env: Env<'_>) -> &'static [Layout] {
    LAYOUTS.get_or_init(|| {
        EventKind::ALL
            .iter()
            .map(|&kind| layout(env, kind))
            .collect()
    })
}

fn layout(env: Env<'_>, kind: EventKind) -> Layout {
    let (name, own) = own(kind);
    let own = own
        .iter()
        .chain(kind.fields())
        .map(|field| (*field, source(kind, field)));
    let fields: Vec<_> = HEADER
        .iter()
        .copied()
        .chain(own)
        .map(|(name, source)| (atom(env, name), source))
        .collect();
    Layout {
        kind,
        module: atom(env, &format!("Elixir.ElixirScope.Events.{name}")),
        event_type: atom(env, kind.name()),
        keys: fields
            .iter()
            .map(|(key, _)| word(key.to_term(env)))
            .collect(),
        fields,
    }
}

/// Where the events of one tape come from.
#[derive(Clone, Copy)]
pub struct Origin {
    /// The name of the node.
    pub node: AtomId,
    /// Added to a timestamp, gives the wall time.
    pub time_offset_ns: i64,
}

impl From<&RecorderConfig> for Origin {
    fn from(config: &RecorderConfig) -> Origin {
        Origin {
            node: config.node,
            time_offset_ns: config.time_offset_ns,
        }
    }
}

/// What all structs of one answer share.
pub struct Shared<'a> {
    env: Env<'a>,
    layouts: &'static [Layout],
    node: Word,
    nil: Word,
    time_offset: i64,
    payload: bool,
    /// Which values of state changes are wanted as text.
    texts: Option<Texts>,
    decoder: Decoder<'a>,
}

impl<'a> Shared<'a> {
    /// For structs with (or without) their captured terms.
    pub fn new(env: Env<'a>, origin: Origin, payload: bool) -> Shared<'a> {
        Shared {
            env,
            layouts: layouts(env),
            node: term::atom_word(origin.node),
            nil: word(atoms::nil().encode(env)),
            time_offset: origin.time_offset_ns,
            payload,
            texts: None,
            decoder: Decoder::new(env),
        }
    }

    /// The same with text in the place of large values, in state changes.
    pub fn with_texts(self, texts: Option<Texts>) -> Shared<'a> {
        Shared { texts, ..self }
    }

    /// The structs of all rows, as a list. A row whose payload cannot be read stands in it as `{:error, :malformed}`.
    pub fn list(&mut self, rows: &Rows) -> Term<'a> {
        let structs: Vec<Term<'a>> = rows
            .iter()
            .map(|(head, payload)| {
                let malformed = (atoms::error(), atoms::malformed());
                self.event(head, payload)
                    .unwrap_or_else(|_| malformed.encode(self.env))
            })
            .collect();
        structs.encode(self.env)
    }

    /// The struct of one row.
    ///
    /// # Errors
    /// [`Malformed`] if the payload does not hold what its kind has.
    fn event(&mut self, head: &EventHead, payload: &[u8]) -> Result<Term<'a>, Malformed> {
        let mut values = [self.nil; FIELDS_MAX];
        // Kinds are numbered from 1, and the layouts stand in their order.
        let layouts = self.layouts;
        let Some(layout) = layouts.get(head.kind as usize - 1) else {
            return Ok(self.none());
        };
        let own = layout.fields.len() - head.kind.fields().len();
        for (value, (_, source)) in values.iter_mut().zip(layout.fields.iter().take(own)) {
            *value = self.header(layout, *source, head);
        }
        // A subscription without captured terms keeps none.
        if self.payload && !payload.is_empty() {
            let mut reader = Reader::new(payload);
            let mut fields = values.iter_mut().take(layout.fields.len()).skip(own);
            let mut names = head.kind.fields().iter().copied();
            while let (Some(value), Some(name)) = (fields.next(), names.next()) {
                if let Some(texts) = self.texts
                    && head.kind == EventKind::StateChange
                {
                    let (env, decoder) = (self.env, &mut self.decoder);
                    *value = word(match name {
                        STATE_DIFF => texts.changes(env, decoder, &mut reader)?,
                        _ => texts.value(env, decoder, &mut reader)?,
                    });
                } else if name == OLD_STATE
                    && let Some(after) = fields.next()
                {
                    names.next();
                    let (old, new) = self.decoder.next_two(&mut reader)?;
                    (*value, *after) = (word(old), word(new));
                } else {
                    *value = word(self.decoder.next(&mut reader)?);
                }
            }
            if head.kind == EventKind::FunctionEntry
                && reader.rest().first() == Some(&format::LIST)
                && let Some(at) = layout.place_of(Source::Stack)
                && let Some(value) = values.get_mut(at)
            {
                *value = word(self.decoder.next(&mut reader)?);
            }
        }
        let map = term::map(
            self.env,
            &layout.keys,
            values.get(..layout.keys.len()).unwrap_or(&values),
        );
        Ok(map.unwrap_or_else(|| self.none()))
    }

    fn none(&self) -> Term<'a> {
        atoms::nil().encode(self.env)
    }

    fn header(&self, layout: &Layout, source: Source, head: &EventHead) -> Word {
        let env = self.env;
        let site = || SiteTable::shared().get(head.site);
        let of = |value: Option<Word>| value.unwrap_or(self.nil);
        let number = |number: u32| word(number.encode(env));
        match source {
            Source::Struct => word(layout.module.encode(env)),
            Source::Id => self.id(head.id.0),
            Source::EventType => word(layout.event_type.encode(env)),
            Source::Timestamp => word(head.time.0.encode(env)),
            Source::WallTime => word((head.time.0 + self.time_offset).encode(env)),
            Source::Node => self.node,
            Source::Pid => of(head.process.some().map(host::pid_word)),
            Source::CorrelationId if head.correlation == CorrelationId::AMBIGUOUS => {
                word(atoms::ambiguous().encode(env))
            }
            Source::CorrelationId => self.id(head.correlation.0),
            Source::ParentId => self.id(head.parent.0),
            Source::CallId => self.id(head.call.0),
            Source::Module => of(site().map(|site| term::atom_word(site.module))),
            Source::Function => of(site().and_then(|site| site.function).map(term::atom_word)),
            Source::Arity => of(site()
                .filter(|site| site.function.is_some())
                .map(|site| number(site.arity))),
            Source::File => of(site().map(|site| word(site.file.encode(env)))),
            Source::Line => of(site()
                .filter(|site| site.line > 0)
                .map(|site| number(site.line))),
            Source::Clause => of(site()
                .filter(|site| site.clause > 0)
                .map(|site| number(site.clause))),
            Source::Behaviour => of(site().and_then(|site| site.behaviour).map(term::atom_word)),
            Source::Payload(_) | Source::Stack | Source::Absent => self.nil,
        }
    }

    fn id(&self, id: u64) -> Word {
        if id == 0 {
            self.nil
        } else {
            word(id.encode(self.env))
        }
    }
}

/// The field of a state change behind which the new state comes.
const OLD_STATE: &str = "old_state";
const STATE_DIFF: &str = "state_diff";
/// No struct has more fields.
const FIELDS_MAX: usize = 32;

fn word(term: Term<'_>) -> Word {
    term::word(term)
}
