"""axe-core's word about a page: whether everybody can use it."""

from importlib.resources import files

from playwright.async_api import Page

__all__ = ["axe_faults"]

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()


async def axe_faults(page: Page) -> list[str]:
    """What axe calls serious or critical on the page as it is."""
    if not await page.evaluate("typeof axe === 'object'"):
        await page.evaluate(AXE)
    found = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{one['id']}: {one['help']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
