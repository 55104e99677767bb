"""A cluster on several hosts: OMERO and the scheduler on one, a worker on each of two others."""

from tests.dask.certificates import write_certificates
from tests.dask.sites import Site
from tests.streaming.peers import until
from tests.two_hosts import hosts

PATIENCE_S = 60.0


def test_a_host_that_is_lost_costs_its_well_a_second_try(tmp_path):
    """Its cable is pulled while both workers are in a well; the results are those of processes."""
    # A worker that says nothing is given up after some seconds, not minutes.
    site = Site(tmp_path, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="8s", **write_certificates(tmp_path))
    with hosts("front", "node1", "node2") as (front, node, lost):
        address = f"tls://{front.address}:8786"
        omero = site.start(front, "tests.dask.in_omero", str(tmp_path), front.address)
        site.start(front, "dask", "scheduler", "--protocol", "tls", "--host", front.address, "--no-dashboard")
        for place in (node, lost):
            site.start(place, "dask", "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
        site.answer(omero)
        (tmp_path / "go").touch()
        here = site.answer(omero, executor="processes")["results"]
        assert len(here["images of plus"]) == 4
        (tmp_path / "go").unlink()
        site.ask(omero, executor="dask", executor_address=address)
        for place in (node, lost):
            until(lambda place=place: site.at_work(place), bool, PATIENCE_S)
        lost.unplug()
        (tmp_path / "go").touch()
        assert site.answer(omero) == {"results": here}
        assert site.at_work(lost)  # nobody has told it


def test_a_plain_scheduler_of_the_network_is_refused_on_loopback_too(tmp_path):
    """Its workers may be anywhere."""
    site = Site(tmp_path)
    with hosts("front") as (front,):
        front.ip("route", "add", "default", "via", "10.77.0.9")  # the scheduler asks for the way out
        omero = site.start(front, "tests.dask.in_omero", str(tmp_path), front.address)
        site.start(front, "dask", "scheduler", "--port", "8786", "--no-dashboard")
        site.answer(omero)
        for address in (f"tcp://{front.address}:8786", "tcp://127.0.0.1:8786"):
            refused = site.answer(omero, executor="dask", executor_address=address)["error"]
            assert f"dask at tcp://{front.address}:8786 is on the network without encryption" in refused
