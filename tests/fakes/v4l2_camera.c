/* A camera behind the ioctls that a UVC camera answers, preloaded under OpenCV.
 *
 * The device file named by FAKE_V4L2 is a camera that has YUYV at 640x480 and 320x240, and no MJPG.
 * Its frames are of one grey; FAKE_V4L2_FRAMES=N takes it away after N of them, as a pulled plug
 * does. FAKE_V4L2_TRACE=1 writes the calls to stderr.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUFFERS 4
#define MOST_BYTES (640 * 480 * 2)

static int camera = -1, queued[BUFFERS], head, count, given;
static unsigned width = 640, height = 480, rate = 30;
static unsigned char *memory[BUFFERS];

static long option(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value ? atol(value) : otherwise;
}

static int fail(int error) { errno = error; return -1; }

static int open_camera(const char *path, int flags, int mode, const char *symbol) {
    const char *fake = getenv("FAKE_V4L2");
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, symbol);
    int file = real(path, flags, mode);
    if (file >= 0 && fake && strcmp(path, fake) == 0) { camera = file; head = count = given = 0; }
    return file;
}

int open(const char *path, int flags, ...) {
    va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more);
    return open_camera(path, flags, mode, "open");
}

int open64(const char *path, int flags, ...) {
    va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more);
    return open_camera(path, flags, mode, "open64");
}

int close(int file) {
    int (*real)(int) = dlsym(RTLD_NEXT, "close");
    if (file == camera) camera = -1;
    return real(file);
}

static void *map(size_t length, off_t offset) {
    size_t index = (size_t)offset / MOST_BYTES;
    if (!memory[index]) memory[index] = malloc(MOST_BYTES);
    (void)length;
    return memory[index];
}

void *mmap(void *at, size_t length, int protection, int flags, int file, off_t offset) {
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, "mmap");
    if (file >= 0 && file == camera) return map(length, offset);
    return real(at, length, protection, flags, file, offset);
}

void *mmap64(void *at, size_t length, int protection, int flags, int file, off_t offset) {
    return mmap(at, length, protection, flags, file, offset);
}

int munmap(void *at, size_t length) {
    int (*real)(void *, size_t) = dlsym(RTLD_NEXT, "munmap");
    for (int index = 0; index < BUFFERS; index++) if (at == memory[index]) return 0;
    return real(at, length);
}

static int set_format(struct v4l2_format *wanted) {
    struct v4l2_pix_format *pixels = &wanted->fmt.pix;
    if (pixels->pixelformat != V4L2_PIX_FMT_YUYV) return fail(EINVAL);
    /* Drivers take the nearest size that they have. */
    width = pixels->width <= 320 ? 320 : 640;
    height = width * 3 / 4;
    pixels->width = width; pixels->height = height;
    pixels->bytesperline = width * 2; pixels->sizeimage = width * height * 2;
    pixels->field = V4L2_FIELD_NONE;
    return 0;
}

static int give(struct v4l2_buffer *buffer) {
    if (given >= option("FAKE_V4L2_FRAMES", 1 << 30)) return fail(ENODEV);
    if (count == 0) return fail(EAGAIN);
    usleep(1000000 / rate);
    buffer->index = queued[head]; head = (head + 1) % BUFFERS; count--; given++;
    unsigned char *pixels = map(0, (off_t)buffer->index * MOST_BYTES);
    for (unsigned at = 0; at < width * height * 2; at += 2) { pixels[at] = 126; pixels[at + 1] = 128; }
    buffer->bytesused = width * height * 2;
    buffer->length = MOST_BYTES;
    return 0;
}

static int answer(unsigned long request, void *about) {
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *it = about; memset(it, 0, sizeof *it);
        strcpy((char *)it->driver, "uvcvideo"); strcpy((char *)it->card, "Fake");
        it->capabilities = it->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        it->capabilities |= V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *it = about;
        if (it->index) return fail(EINVAL);
        it->pixelformat = V4L2_PIX_FMT_YUYV;
        return 0;
    }
    case VIDIOC_ENUM_FRAMESIZES: {
        struct v4l2_frmsizeenum *it = about;
        if (it->index > 1) return fail(EINVAL);
        it->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        it->discrete.width = it->index ? 320 : 640; it->discrete.height = it->index ? 240 : 480;
        return 0;
    }
    case VIDIOC_ENUMINPUT: return ((struct v4l2_input *)about)->index ? fail(EINVAL) : 0;
    case VIDIOC_G_INPUT: *(int *)about = 0; return 0;
    case VIDIOC_S_INPUT: return 0;
    case VIDIOC_G_FMT: {
        struct v4l2_pix_format *pixels = &((struct v4l2_format *)about)->fmt.pix;
        pixels->width = width; pixels->height = height; pixels->pixelformat = V4L2_PIX_FMT_YUYV;
        pixels->bytesperline = width * 2; pixels->sizeimage = width * height * 2;
        pixels->field = V4L2_FIELD_NONE;
        return 0;
    }
    case VIDIOC_TRY_FMT: case VIDIOC_S_FMT: return set_format(about);
    case VIDIOC_G_PARM: case VIDIOC_S_PARM: {
        struct v4l2_captureparm *it = &((struct v4l2_streamparm *)about)->parm.capture;
        if (request == VIDIOC_S_PARM && it->timeperframe.numerator)
            rate = it->timeperframe.denominator / it->timeperframe.numerator;
        it->capability = V4L2_CAP_TIMEPERFRAME;
        it->timeperframe.numerator = 1; it->timeperframe.denominator = rate;
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *it = about;
        if (it->count > BUFFERS) it->count = BUFFERS;
        head = count = 0;
        return 0;
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *it = about;
        it->length = MOST_BYTES; it->m.offset = it->index * MOST_BYTES;
        return 0;
    }
    case VIDIOC_QBUF: {
        struct v4l2_buffer *it = about;
        queued[(head + count++) % BUFFERS] = it->index;
        return 0;
    }
    case VIDIOC_DQBUF: return give(about);
    case VIDIOC_STREAMON: return 0;
    case VIDIOC_STREAMOFF: head = count = 0; return 0;
    }
    return fail(EINVAL);
}

int ioctl(int file, unsigned long request, ...) {
    va_list more; va_start(more, request); void *about = va_arg(more, void *); va_end(more);
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    if (file < 0 || file != camera) return real(file, request, about);
    int result = answer(request & 0xffffffffUL, about);
    if (getenv("FAKE_V4L2_TRACE"))
        fprintf(stderr, "ioctl %lu %d\n", request & 0xff, result);
    return result;
}
