//! Which places record: by how much a strategy wants, and by rules that name modules and functions.

use super::SiteDef;
use crate::event::AtomId;

/// What a place is to a [`Strategy`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SiteClass {
    /// A mark that stands in the code for itself, whatever the strategy.
    #[default]
    Mark,
    /// A function that others may call.
    Public,
    /// Any other function.
    Private,
    /// A function that was asked for by name.
    Chosen,
    /// A function that a behaviour calls.
    Callback,
}

/// How much is recorded where no rule says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// Callbacks, and what was asked for by name.
    Minimal,
    /// These, and public functions.
    Balanced,
    /// Every function.
    FullTrace,
}

impl Strategy {
    fn takes(self, class: SiteClass) -> bool {
        match class {
            SiteClass::Mark | SiteClass::Chosen | SiteClass::Callback => true,
            SiteClass::Public => self != Strategy::Minimal,
            SiteClass::Private => self == Strategy::FullTrace,
        }
    }
}

/// Switches one module or one function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The module.
    pub module: AtomId,
    /// The function and its arity; all of the module without.
    pub function: Option<(AtomId, u32)>,
    /// Whether it records.
    pub is_on: bool,
}

impl Rule {
    fn matches(&self, site: &SiteDef) -> bool {
        let is_function = |(name, arity)| site.function == Some(name) && site.arity == arity;
        self.module == site.module && self.function.is_none_or(is_function)
    }
}

/// What says of each place whether it records.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Switches {
    /// `None` switches nothing off.
    pub strategy: Option<Strategy>,
    /// The last one that matches a place decides, before the strategy.
    pub rules: Vec<Rule>,
}

impl Switches {
    /// Whether a place records.
    #[must_use]
    pub fn takes(&self, site: &SiteDef) -> bool {
        let rule = self.rules.iter().rfind(|rule| rule.matches(site));
        rule.map_or_else(
            || self.strategy.is_none_or(|it| it.takes(site.class)),
            |rule| rule.is_on,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [SiteClass; 5] = [
        SiteClass::Mark,
        SiteClass::Chosen,
        SiteClass::Callback,
        SiteClass::Public,
        SiteClass::Private,
    ];

    fn site(module: u32, function: u32, class: SiteClass) -> SiteDef {
        SiteDef {
            module: AtomId(module),
            function: Some(AtomId(function)),
            arity: 2,
            class,
            ..SiteDef::default()
        }
    }

    fn rule(module: u32, function: Option<(u32, u32)>, is_on: bool) -> Rule {
        Rule {
            module: AtomId(module),
            function: function.map(|(name, arity)| (AtomId(name), arity)),
            is_on,
        }
    }

    #[test]
    fn each_strategy_takes_more_than_the_one_before() {
        for (strategy, taken) in [
            (Some(Strategy::Minimal), 3),
            (Some(Strategy::Balanced), 4),
            (Some(Strategy::FullTrace), 5),
            (None, 5),
        ] {
            let switches = Switches {
                strategy,
                rules: Vec::new(),
            };
            let takes = CLASSES.map(|class| switches.takes(&site(1, 1, class)));
            assert_eq!(takes, [0, 1, 2, 3, 4].map(|n| n < taken), "{strategy:?}");
        }
    }

    #[test]
    fn the_last_rule_that_matches_decides_before_the_strategy() {
        let switches = Switches {
            strategy: Some(Strategy::Minimal),
            rules: vec![
                rule(1, None, true),
                rule(1, Some((7, 2)), false),
                rule(2, Some((7, 2)), false),
                rule(2, None, true),
                rule(3, Some((7, 3)), true),
            ],
        };
        let takes = |module, function| switches.takes(&site(module, function, SiteClass::Private));
        assert!(takes(1, 1) && !takes(1, 7), "a function within a module");
        assert!(takes(2, 7), "the later rule");
        assert!(!takes(3, 7), "another arity");
        assert!(!takes(4, 7), "none: the strategy");
        assert!(
            !switches.takes(&site(1, 7, SiteClass::Mark)),
            "a mark obeys rules"
        );
        let body = SiteDef {
            function: None,
            ..site(1, 7, SiteClass::Mark)
        };
        assert!(switches.takes(&body), "the body of a module is no function");
    }
}
