"""What can be asked about offers between models."""

from __future__ import annotations

from typing import Any

from minijuju import applications, models, offers, relations, status
from minijuju.charm import CHARM_NAME
from minijuju.errors import BadRequestError, NotFoundError
from minijuju.facade_base import FacadeBase
from minijuju.rpc import Reply


class OfferMethods(FacadeBase):
    """Offers, and what models consume."""

    async def offer(
        self, reply: Reply, model: str, application: str, endpoints: list[str], name: str = ""
    ) -> dict[str, Any]:
        """Offer endpoints of an application to other models."""
        found = self._alive(model)
        chosen = name or application
        if not CHARM_NAME.fullmatch(chosen):
            raise BadRequestError(f'invalid offer name "{chosen}"')
        if not endpoints:
            raise BadRequestError(f'no endpoints specified for "{application}"')
        with self.state.transaction():
            one = self._living(found, application)
            made = offers.add(self.state, one, chosen, tuple(endpoints))
        return {"url": offers.url(found, made.name), "endpoints": list(made.endpoints)}

    async def offers(self, reply: Reply, model: str) -> dict[str, Any]:
        """The offers of a model with their connections."""
        found = models.named(self.state, model)
        return {
            offer.name: status.offer_document(self.state, found, offer)
            for offer in offers.every(self.state, found.uuid)
        }

    async def find_offers(
        self, reply: Reply, model: str = "", offer: str = "", interface: str = ""
    ) -> dict[str, Any]:
        """The offers of all models, or of one, by address."""
        chosen = [models.named(self.state, model)] if model else models.every(self.state)
        found = {}
        for one in chosen:
            for made in offers.every(self.state, one.uuid):
                shown = status.offer_details(self.state, made)
                interfaces = {end["interface"] for end in shown["endpoints"].values()}
                if offer in ("", made.name) and (not interface or interface in interfaces):
                    found[offers.url(one, made.name)] = shown
        return found

    async def show_offer(self, reply: Reply, url: str) -> dict[str, Any]:
        """One offer."""
        model, offer = offers.at(self.state, url)
        return {offers.url(model, offer.name): status.offer_details(self.state, offer)}

    async def consume(self, reply: Reply, model: str, url: str, name: str = "") -> dict[str, str]:
        """Add an offer of another model to a model."""
        found = self._alive(model)
        if name and not CHARM_NAME.fullmatch(name):
            raise BadRequestError(f'invalid application name "{name}"')
        _, _, endpoint = offers.parse_url(url)
        if endpoint:
            raise BadRequestError(f'saas offer "{url}" shouldn\'t include endpoint')
        with self.state.transaction():
            offering, offer = offers.at(self.state, url)
            made = offers.consume(self.state, found, offer, name or offer.name)
        return {"name": made.name, "url": offers.url(offering, offer.name)}

    async def remove_offer(self, reply: Reply, urls: list[str], force: bool = False) -> None:
        """Offer endpoints no longer; with force also what is in use, which is taken apart."""
        with self.state.transaction():
            for url in urls:
                _, offer = offers.at(self.state, url)
                used = offers.connections(self.state, offer)
                if used and not force:
                    noun = "relation" if len(used) == 1 else "relations"
                    raise BadRequestError(
                        f'cannot delete application offer "{offer.name}": offer has '
                        f"{len(used)} {noun}"
                    )
                for half, _ in used:
                    relations.set_dying(self.state, half)
                offers.remove(self.state, offer)

    async def suspend_relation(
        self, reply: Reply, model: str, ids: list[int], suspended: bool, message: str = ""
    ) -> None:
        """Suspend relations that use a model's offers, or resume them."""
        found = self._alive(model)
        with self.state.transaction():
            for number in ids:
                one = relations.find(self.state, found.uuid, number)
                if one is None:
                    raise NotFoundError(f'relation "{number}" not found')
                relations.suspend(self.state, one, suspended=suspended, message=message)

    async def remove_saas(
        self, reply: Reply, model: str, names: list[str], force: bool = False
    ) -> None:
        """Consume offers no longer; relations with them go, with force without their units."""
        found = self._alive(model)
        with self.state.transaction():
            for name in names:
                one = offers.saas(self.state, found.uuid, name)
                if one is None:
                    if applications.find(self.state, found.uuid, name):
                        raise BadRequestError(
                            f'"{name}" is an application; see remove-application'
                        )
                    raise NotFoundError(f'saas application "{name}" not found')
                offers.set_dying(self.state, one)
                if force:
                    for relation in relations.every(self.state, found.uuid, name):
                        relations.remove(self.state, relation)
