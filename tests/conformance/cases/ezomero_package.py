"""Calls of the ezomero package; left out when it is not installed."""

import importlib.util

from embedded_omero.conformance import Bag, Id, case

if importlib.util.find_spec("ezomero"):
    import ezomero

    def i(typ, values):
        return Bag(Id(typ, int(v)) for v in values)

    @case("ezomero")
    def gets(w, a):
        c = w.gw("alice")
        a("images of project", lambda: i("Image", ezomero.get_image_ids(c, project=w.id("Project", "P one"))))
        a("images of dataset", lambda: i("Image", ezomero.get_image_ids(c, dataset=w.id("Dataset", "d two"))))
        a("images of well", lambda: i("Image", ezomero.get_image_ids(c, well=w.id("Well", "A1"))))
        a("images of plate", lambda: len(ezomero.get_image_ids(c, plate=w.id("Plate", "PL one"))))
        a("datasets", lambda: i("Dataset", ezomero.get_dataset_ids(c, project=w.id("Project", "P one"))))
        a("plates", lambda: i("Plate", ezomero.get_plate_ids(c, screen=w.id("Screen", "S one"))))
        a("wells", lambda: i("Well", ezomero.get_well_ids(c, plate=w.id("Plate", "PL one"))))
        a("well by position", lambda: Id("Well", ezomero.get_well_id(c, w.id("Plate", "PL one"), row=1, column=2)))
        a(
            "acquisitions",
            lambda: i("PlateAcquisition", ezomero.get_plate_acquisition_ids(c, plate=w.id("Plate", "PL one"))),
        )
        a(
            "map annotations",
            lambda: i("Annotation", ezomero.get_map_annotation_ids(c, "Image", w.id("Image", "img_u16"))),
        )
        a("map annotation", lambda: ezomero.get_map_annotation(c, w.id("Annotation", "map")))
        a("tags", lambda: i("Annotation", ezomero.get_tag_ids(c, "Image", w.id("Image", "img_u8"))))
        a("tag", lambda: ezomero.get_tag(c, w.id("Annotation", "Tag A")))
        a("files", lambda: i("Annotation", ezomero.get_file_annotation_ids(c, "Image", w.id("Image", "img_u16"))))
        a("rois", lambda: i("Roi", ezomero.get_roi_ids(c, w.id("Image", "img_u16"))))
        a("shapes", lambda: i("Shape", ezomero.get_shape_ids(c, w.id("Roi", "roi 1"))))
        a("group", lambda: Id("ExperimenterGroup", ezomero.get_group_id(c, w.name("ra"))))
        a("user", lambda: Id("Experimenter", ezomero.get_user_id(c, w.name("alice"))))
        a(
            "filter by tag",
            lambda: i(
                "Image", ezomero.filter_by_tag_value(c, [w.id("Image", "img_u16"), w.id("Image", "img_f32")], "Tag A")
            ),
        )
        a(
            "filter by key",
            lambda: i("Image", ezomero.filter_by_kv(c, [w.id("Image", "img_u16"), w.id("Image", "img_f32")], "a", "3")),
        )

    @case("ezomero")
    def images(w, a):
        c = w.gw("alice")
        a(
            "get_image",
            lambda: [
                list(x.shape) if hasattr(x, "shape") else x.getName()
                for x in ezomero.get_image(c, w.id("Image", "img_u16"))
            ],
        )
        a("values", lambda: int(ezomero.get_image(c, w.id("Image", "img_i16"))[1].sum()))
        a(
            "part",
            lambda: ezomero.get_image(
                c, w.id("Image", "img_u16"), start_coords=(1, 2, 0, 0, 0), axis_lengths=(3, 2, 1, 2, 1)
            )[1].tolist(),
        )

    @case("ezomero")
    def posts(w, a):
        c = w.gw("alice")
        d = ezomero.post_dataset(c, "ezomero D", project_id=w.id("Project", "p two"), description="x")
        a("dataset in project", lambda: d in ezomero.get_dataset_ids(c, project=w.id("Project", "p two")))
        m = ezomero.post_map_annotation(c, "Dataset", d, {"k": "v"}, "conf.ez")
        a("map", lambda: ezomero.get_map_annotation(c, m))
        a(
            "put",
            lambda: (ezomero.put_map_annotation(c, m, {"k": "w", "l": ["1", "2"]}), ezomero.get_map_annotation(c, m))[
                1
            ],
        )
        c.deleteObjects("Dataset", [d], wait=True)
