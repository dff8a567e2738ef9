/* AULE_API: what a shared library shows. Define AULE_SHARED to use one on Windows; libaule sets AULE_BUILDING itself.
 */
#pragma once

#if defined(_WIN32) && defined(AULE_SHARED)
#if defined(AULE_BUILDING)
#define AULE_API __declspec(dllexport)
#else
#define AULE_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define AULE_API __attribute__((visibility("default")))
#else
#define AULE_API
#endif
