/*
 * Forced into every C++ file of zeroc-ice 3.6.5 (g++ -include), so that its unmodified
 * sources compile on Python 3.11 to 3.13.
 */
#ifndef OPENHCS_ICE_COMPAT_H
#define OPENHCS_ICE_COMPAT_H

#include <Python.h>

/* 3.11 hid the fields of PyThreadState; Ice reads PyThreadState_GET()->frame. */
#if PY_VERSION_HEX >= 0x030B0000
struct IceCompatThreadState
{
    PyFrameObject* frame;
    IceCompatThreadState* operator->() { return this; }
};

static inline IceCompatThreadState iceCompatThreadState()
{
    IceCompatThreadState state = { PyEval_GetFrame() };
    return state;
}

#undef PyThreadState_GET
#define PyThreadState_GET() iceCompatThreadState()
#endif

/* 3.13 removed two functions that were deprecated since 3.9 and 3.0. */
#if PY_VERSION_HEX >= 0x030D0000
static inline PyObject* PyEval_CallObject(PyObject* callable, PyObject* arguments)
{
    return PyObject_CallObject(callable, arguments);
}

static inline int PyObject_AsReadBuffer(PyObject* object, const void** data, Py_ssize_t* size)
{
    Py_buffer view;
    if(PyObject_GetBuffer(object, &view, PyBUF_SIMPLE) != 0)
    {
        return -1;
    }
    *data = view.buf;
    *size = view.len;
    PyBuffer_Release(&view); /* as the old function did: the caller holds the object */
    return 0;
}
#endif

#endif
