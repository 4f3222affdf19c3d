"""Writes the HDF5 files of Fixtures with h5py: python write_hdf5_cases.py (from this folder).

Every data set holds 0, 0.5, 1, ... in row-major order. The files of the second kind point outside themselves; what they
point to does not exist.
"""
import h5py
import numpy as np


def ramp(*shape, dtype="f4"):
    return (np.arange(int(np.prod(shape))) * 0.5).astype(dtype).reshape(shape)


def layers(file, count):
    file.attrs["layer_names"] = np.array([f"layer_{i}".encode() for i in range(count)])
    file.attrs["text"] = "a text of variable length: \u00e4"
    file.attrs["fixed"] = np.bytes_("a text of fixed length")
    for i in range(count):
        group = file.create_group(f"layer_{i}")
        group.attrs["weight_names"] = np.array([b"kernel:0", b"bias:0"])
        group.create_dataset("kernel:0", data=ramp(2, 3))
        group.create_dataset("bias:0", data=ramp(3))


with h5py.File("Fixtures/old.h5", "w", libver=("earliest", "v108")) as f:
    layers(f, 12)
    f.create_dataset("double", data=ramp(4, dtype=">f8"))
    f.create_dataset("half", data=ramp(4, dtype="f2"))
    f.create_dataset("integer", data=np.array([-3, 0, 7], dtype="i2"))
    f.create_dataset("chunked", data=ramp(5, 7), chunks=(2, 3))
    f.create_dataset("packed", data=ramp(5, 7), chunks=(2, 3), compression="gzip", shuffle=True, fletcher32=True)
    f["soft"] = h5py.SoftLink("/double")
with h5py.File("Fixtures/new.h5", "w", libver="latest") as f:
    layers(f, 20)
    for i in range(30):
        f.attrs[f"attribute_{i:02}"] = f"value {i}"
    many = f.create_group("many")
    for i in range(200):
        many.create_group(f"group_{i:03}")
with h5py.File("Fixtures/outside.h5", "w", libver=("earliest", "v110")) as f:
    f["link"] = h5py.ExternalLink("/nonexistent/other.h5", "/secret")
    f.create_dataset("storage", shape=(4,), dtype="u1", external=[("/nonexistent/secret", 0, 4)])
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("/nonexistent/other.h5", "secret", shape=(4,))
    f.create_virtual_dataset("virtual", layout)
    # A shape that the file pays nothing for: no chunk was written.
    f.create_dataset("empty", shape=(10000, 10000), chunks=(100, 100), dtype="f4")
