"""What the names of a model, its network and its prior come to: one object that can build it."""

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, is_dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from aelab.data.specs import Kind
from aelab.files import InputError
from aelab.settings import check_value, thaw

if TYPE_CHECKING:
    from aelab.models.contract import Autoencoder, LinkModel
    from aelab.models.networks.contract import Network
    from aelab.models.priors.contract import Prior


@dataclass(frozen=True)
class ZooEntry:
    """A model of the zoo: a class, and the arguments that make this variant of it.

    >>> from aelab.models.zoo import ZOO
    >>> ZOO['denoising'].network, ZOO['denoising'].fixed['noise_level']
    ('convolutional', 0.2)
    """

    path: str
    """``module:Class``."""

    summary: str
    source: str
    network: str | None = None
    """Of a composition, the network that it has unless another is named."""

    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of this variant, and of its network, that differ from the classes' own."""

    rows: Literal["edges", "inputs"] = "inputs"
    """What the rows of a table are to it."""


@dataclass(frozen=True)
class Hyperparameter:
    """A keyword of a constructor: an option of the command line, and a field of a run's record.

    >>> from aelab.models.zoo import resolve
    >>> resolve("vae").hyperparameters["beta"].default
    1.0
    """

    name: str
    type: Any
    default: Any
    """`inspect.Parameter.empty` where it must be given."""

    help: str
    part: str
    """Whose it is: model, network, prior, or the name of another part."""


@dataclass(frozen=True)
class Blueprint:
    """What the names of a model, its network and its prior come to.

    The classes, and all of their hyperparameters under one roof.

    >>> from aelab.models.zoo import resolve
    >>> blueprint = resolve("vae")
    >>> blueprint.network_name, blueprint.prior_name, blueprint.defaults["hidden"]
    ('dense', 'normal', (500,))
    >>> resolve("vae", network="graph").defaults["hidden"]
    (256,)
    """

    name: str
    entry: ZooEntry
    model: "type[Autoencoder | LinkModel]"
    network_name: str | None
    network: "type[Network] | None"
    prior_name: str | None
    prior: "type[Prior] | None"

    @cached_property
    def parts(self) -> dict[str, Any]:
        """The classes that hyperparameters are of, by the name of the part: the model first."""
        parts: dict[str, Any] = {"model": self.model}
        if self.network is not None:
            parts["network"] = self.network
        for name, hint in keywords_of(self.model).items():
            if is_prior(hint):
                parts[name] = self.prior
            elif is_dataclass(hint):
                parts[name] = hint
        return parts

    @cached_property
    def hyperparameters(self) -> dict[str, Hyperparameter]:
        """All of them by name.

        Raises:
            InputError: two parts have one of the same name.
        """
        found: dict[str, Hyperparameter] = {}
        for part, of in self.parts.items():
            for own in hyperparameters_of(of, part):
                if own.name in self.parts:
                    continue
                if own.name in found:
                    raise InputError(
                        f"model {self.name}: {own.name} is a hyperparameter of its {part} and of "
                        f"its {found[own.name].part}; rename one"
                    )
                found[own.name] = own
        return found

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The constructors' defaults, with this variant's in their place.

        What a variant fixes for its own network is left out with another network.
        """
        own = {
            name: one.default
            for name, one in self.hyperparameters.items()
            if one.default is not inspect.Parameter.empty
        }
        return {**own, **self.fitting(self.entry.fixed, self.entry.network)}

    def fitting(self, values: Mapping[str, Any], network: str | None) -> dict[str, Any]:
        """Those of the values that were chosen with `network` that mean something here."""
        known = self.hyperparameters
        same = network == self.network_name
        return {
            name: value
            for name, value in thaw(values).items()
            if same or (name in known and known[name].part != "network")
        }

    @property
    def takes(self) -> Collection[Kind]:
        """The kinds of data that it can be built for."""
        if self.network is None:
            return self.model.takes
        return [kind for kind in self.model.takes if kind in self.network.takes]

    def refuses_condition(self, spec: Any) -> bool:  # noqa: ANN401
        """Whether inputs come with classes that the model cannot be told."""
        return bool(getattr(spec, "classes", ())) and not getattr(self.model, "conditional", False)

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All hyperparameters: the given ones, and the defaults of the others.

        Raises:
            InputError: one that the model does not have, or of another type, or one missing.
        """
        hints = {name: one.type for name, one in self.hyperparameters.items()}
        values = {**self.defaults, **thaw(given)}
        for name, value in values.items():
            check_value(f"model {self.name}: {name}", name, value, hints)
        if missing := hints.keys() - values.keys():
            raise InputError(f"model {self.name} needs {', '.join(sorted(missing))}")
        return values

    def build(self, spec: Any, **hyperparameters: Any) -> Any:  # noqa: ANN401 - either contract
        """The model for data of `spec`, an InputSpec, or a GraphSpec for models of links.

        Raises:
            ValueError: data of a kind that it is not for, or a hyperparameter out of range.
            TypeError: a hyperparameter that it does not have.
        """
        if spec.kind not in self.takes:
            over = f" over the network {self.network_name}" if self.network_name else ""
            raise InputError(
                f"{self.name}{over} is for {' and '.join(self.takes)}, and these data are "
                f"{spec.kind}"
            )
        if self.refuses_condition(spec):
            raise InputError(
                f"{self.name} is not told the class of its inputs: leave condition out, or take "
                f"vae, conv-vae or graph-vae"
            )
        values = {**self.defaults, **hyperparameters}
        if unknown := values.keys() - self.hyperparameters.keys():
            raise TypeError(f"{self.name} has no hyperparameter {', '.join(sorted(unknown))}")
        of_part: dict[str, dict[str, Any]] = {part: {} for part in self.parts}
        for name, value in values.items():
            of_part[self.hyperparameters[name].part][name] = value
        keywords, size = of_part.pop("model"), values.get("latent_dim")
        positional = [spec]
        if self.network is not None:
            decoded = self.model.decoded_size(spec, size)
            seen = self.model.network_spec(spec)
            positional.append(self.network(seen, decoded, **of_part.pop("network")))
        for part, own in of_part.items():
            made = self.parts[part]
            if not is_prior(made):
                keywords[part] = made(**own)
                continue
            if size is None:
                raise InputError(
                    f"{self.name} takes a prior, which needs to know the numbers in a code: give "
                    "the model a hyperparameter latent_dim"
                )
            keywords[part] = made(self.model.prior_size(size), **own)
        return self.model(*positional, **keywords)


def is_prior(hint: object) -> bool:
    """Whether an annotation is a prior's class."""
    from aelab.models.priors.contract import Prior

    return isinstance(hint, type) and issubclass(hint, Prior)


def keywords_of(of: type[Any]) -> dict[str, Any]:
    """The keyword arguments of a constructor and their types; of a dataclass, its fields."""
    hints = get_type_hints(of.__init__)
    kinds = inspect.Parameter
    wanted = {kinds.KEYWORD_ONLY, *([kinds.POSITIONAL_OR_KEYWORD] if is_dataclass(of) else [])}
    return {
        name: hints.get(name, Any)
        for name, parameter in inspect.signature(of).parameters.items()
        if parameter.kind in wanted
    }


def hyperparameters_of(of: type[Any], part: str) -> list[Hyperparameter]:
    """The keyword arguments of a constructor, with their help from the class's docstring."""
    from docstring_parser import parse

    told = {p.arg_name: p.description or "" for p in parse(of.__doc__ or "").params}
    parameters = inspect.signature(of).parameters
    return [
        Hyperparameter(name, hint, parameters[name].default, told.get(name, ""), part)
        for name, hint in keywords_of(of).items()
    ]
